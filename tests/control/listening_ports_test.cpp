// When the sockets of a namespace are listed, and what is made of them.
#include "control/listening_ports.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "control/netlink.hpp"

namespace pasta::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A kernel that the test sets.
struct FakeKernel {
    std::optional<SocketCounts> counts{{1, 1}};
    std::vector<uint16_t> tcp{80}, udp{53};
    unsigned lists = 0;
    bool broken = false;
};

class FakeSource : public SocketSource {
  public:
    explicit FakeSource(FakeKernel& kernel) : kernel_(kernel) {}
    std::optional<SocketCounts> counts() override { return kernel_.counts; }
    std::vector<uint16_t> listening(uint8_t protocol) override {
        ++kernel_.lists;
        if (kernel_.broken) throw NetlinkError("cannot list sockets", 1);
        return protocol == IPPROTO_TCP ? kernel_.tcp : kernel_.udp;
    }
    PortRange ephemeral() override { return {32768, 60999}; }

  private:
    FakeKernel& kernel_;
};

struct ListeningPortsTest : ::testing::Test {
    FakeKernel kernel;
    ListeningPorts ports{std::make_unique<FakeSource>(kernel)};
    uint16_t ours = 0;  ///< a TCP port

    bool refresh() {
        return ports.refresh([this](uint8_t protocol, uint16_t port) {
            return protocol == IPPROTO_TCP && port == ours;
        });
    }
};

TEST_F(ListeningPortsTest, ListsOnlyWhenACountHasChanged) {
    EXPECT_TRUE(refresh());
    EXPECT_THAT(ports.ports(IPPROTO_TCP), ElementsAre(80));
    EXPECT_THAT(ports.ports(IPPROTO_UDP), ElementsAre(53));
    kernel.tcp = {80, 443};
    EXPECT_FALSE(refresh());
    EXPECT_THAT(ports.ports(IPPROTO_TCP), ElementsAre(80));
    kernel.counts->tcp = 2;
    EXPECT_TRUE(refresh());
    EXPECT_THAT(ports.ports(IPPROTO_TCP), ElementsAre(80, 443));
    EXPECT_EQ(kernel.lists, 4U);
}

TEST_F(ListeningPortsTest, ListsNowAndThenAsCountsMayHideAChange) {
    EXPECT_TRUE(refresh());
    kernel.tcp = {81};
    for (unsigned i = 1; i < ListeningPorts::full_period; ++i)
        EXPECT_FALSE(refresh()) << i;
    EXPECT_TRUE(refresh());
    EXPECT_THAT(ports.ports(IPPROTO_TCP), ElementsAre(81));
}

TEST_F(ListeningPortsTest, ConnectionsThatComeAndGoAreNoNews) {
    EXPECT_TRUE(refresh());
    for (unsigned i = 1; i < ListeningPorts::full_period; ++i) {
        ++kernel.counts->tcp;
        EXPECT_FALSE(refresh()) << i;
    }
    EXPECT_EQ(kernel.lists, 2 * ListeningPorts::full_period);
    ++kernel.counts->tcp;
    EXPECT_TRUE(refresh());
}

TEST_F(ListeningPortsTest, ListsNothingWhereNoSocketIs) {
    kernel.counts = SocketCounts{0, 0};
    EXPECT_TRUE(refresh());
    EXPECT_EQ(kernel.lists, 0U);
    EXPECT_THAT(ports.ports(IPPROTO_TCP), IsEmpty());
}

TEST_F(ListeningPortsTest, ListsEachTimeWhereNothingIsCounted) {
    kernel.counts.reset();
    EXPECT_TRUE(refresh());
    EXPECT_FALSE(refresh());  // the same list
    EXPECT_EQ(kernel.lists, 4U);
}

TEST_F(ListeningPortsTest, UdpPortsOfClientsAreLeftOut) {
    kernel.udp = {53, 32767, 32768, 60999, 61000};
    kernel.tcp = {40000};
    refresh();
    EXPECT_THAT(ports.ports(IPPROTO_UDP), ElementsAre(53, 32767, 61000));
    EXPECT_THAT(ports.ports(IPPROTO_TCP), ElementsAre(40000));
}

TEST_F(ListeningPortsTest, OurOwnPortsAreLeftOut) {
    kernel.tcp = kernel.udp = {80, 443};
    ours = 443;
    refresh();
    EXPECT_THAT(ports.ports(IPPROTO_TCP), ElementsAre(80));
    EXPECT_THAT(ports.ports(IPPROTO_UDP), ElementsAre(80, 443));
}

TEST_F(ListeningPortsTest, PortsStayWhenTheKernelRefusesAList) {
    refresh();
    kernel.broken = true;
    kernel.counts->tcp = 7;
    EXPECT_FALSE(refresh());
    EXPECT_THAT(ports.ports(IPPROTO_TCP), ElementsAre(80));
}

}  // namespace
}  // namespace pasta::control
