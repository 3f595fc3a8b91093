// Pipes and sockets of other namespaces, where the kernel sets limits.
#include <sys/resource.h>
#include <sys/stat.h>

#include "dataplane/splice/pipe_pool.hpp"
#include "tests/splice/splice_lab.hpp"

namespace pasta::splice {
namespace {

/// No descriptors are to be had while it lives.
class NoDescriptors {
  public:
    NoDescriptors() {
        getrlimit(RLIMIT_NOFILE, &old_);
        const rlimit none{0, old_.rlim_max};
        setrlimit(RLIMIT_NOFILE, &none);
    }
    ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &old_); }

  private:
    rlimit old_{};
};

ino_t netns_of_this_thread() {
    struct stat status {};
    require(stat("/proc/thread-self/ns/net", &status) == 0, "stat");
    return status.st_ino;
}

TEST(PipePool, EmptyPipesAreKeptAndOthersClosed) {
    const size_t before = open_descriptors();
    {
        PipePool pool;
        Pipe pipe = pool.take();
        ASSERT_TRUE(pipe);
        EXPECT_GE(pipe.capacity, 4096U);
        EXPECT_EQ(pool.taken(), 1U);
        const int kept = pipe.read_end;
        pool.give(pipe, true);
        EXPECT_FALSE(pipe);
        EXPECT_EQ(pool.taken(), 0U);
        pipe = pool.take();
        EXPECT_EQ(pipe.read_end, kept);
        pool.give(pipe, false);
        EXPECT_EQ(open_descriptors(), before);
        pipe = pool.take();
        pool.give(pipe, true);
    }
    EXPECT_EQ(open_descriptors(), before);
}

TEST(PipePool, SizeThatTheKernelRefusesIsHalved) {
    PipePool pool(size_t{1} << 30);
    Pipe pipe = pool.take();
    ASSERT_TRUE(pipe);
    EXPECT_EQ(static_cast<int>(pipe.capacity), fcntl(pipe.read_end, F_GETPIPE_SZ));
    EXPECT_GE(pipe.capacity, size_t{64} << 10);
    pool.give(pipe, true);
}

TEST(PipePool, NoDescriptorsNoPipe) {
    PipePool pool;
    const NoDescriptors none;
    EXPECT_FALSE(pool.take());
    EXPECT_EQ(pool.taken(), 0U);
}

TEST(NamespaceSockets, ThreadComesHome) {
    Lab lab;
    const ino_t home = netns_of_this_thread();
    const Sock away = lab.socket(Place::netns, SOCK_STREAM, {loopback4, 0});
    EXPECT_EQ(netns_of_this_thread(), home);
    // The same address and port are free here: the sockets are in different namespaces.
    const Sock here = lab.socket(Place::host, SOCK_STREAM, away.local());
    EXPECT_EQ(here.local(), away.local());
}

TEST(NamespaceSockets, FailuresAreResults) {
    Lab lab;
    const ino_t home = netns_of_this_thread();
    const Destination attached{Lab::port, Place::netns, {loopback4, 80}};
    EXPECT_EQ(lab.sockets().open({Lab::port + 1, Place::netns, {loopback4, 80}}, SOCK_STREAM),
              -ENETDOWN);
    {
        const NoDescriptors none;
        EXPECT_EQ(lab.sockets().open(attached, SOCK_STREAM), -EMFILE);
    }
    EXPECT_EQ(netns_of_this_thread(), home);
    lab.sockets().attach(Lab::port, open("/dev/null", O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(lab.sockets().open(attached, SOCK_STREAM), -EINVAL);
    lab.sockets().detach(Lab::port);
    EXPECT_EQ(lab.sockets().open(attached, SOCK_STREAM), -ENETDOWN);
}

TEST(NamespaceSockets, MoreAreMadeWhereMoreAreWantedAndClosedWhenNobodyDoes) {
    Lab lab;
    NamespaceSockets& sockets = lab.sockets();
    const Destination there{Lab::port, Place::netns, {loopback4, 0}};
    const size_t before = open_descriptors();
    std::vector<Sock> taken;
    size_t most = 0;
    for (int i = 0; i < 100; ++i) {
        taken.emplace_back(sockets.open(there, SOCK_STREAM));
        ASSERT_TRUE(taken.back()) << i;
        most = std::max(most, open_descriptors() - before - taken.size());
    }
    EXPECT_EQ(most, NamespaceSockets::batch - 1) << "spare ones";
    // All of them are in the namespace: there, an address and port can be had once.
    const SocketAddress address(loopback4, 4000);
    size_t bound = 0;
    for (const Sock& socket : taken)
        bound += bind(socket.get(), address.get(), address.size()) == 0 ? 1 : 0;
    EXPECT_EQ(bound, 1U);
    EXPECT_TRUE(lab.socket(Place::host, SOCK_STREAM, {loopback4, 4000}));
    taken.clear();
    sockets.run(lab.now);
    EXPECT_EQ(sockets.next_deadline(), lab.now + NamespaceSockets::keep);
    EXPECT_GT(open_descriptors(), before);
    sockets.run(sockets.next_deadline() - 1);
    EXPECT_GT(open_descriptors(), before);
    sockets.run(sockets.next_deadline());
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(sockets.next_deadline(), core::never);
}

TEST(NamespaceSockets, SparesDoNotOutliveTheirNamespace) {
    Lab lab;
    const size_t before = open_descriptors();
    const Destination there{Lab::port, Place::netns, {loopback6, 0}};
    for (int i = 0; i < 2; ++i)
        ASSERT_TRUE(Sock(lab.sockets().open(there, SOCK_STREAM)));
    EXPECT_GT(open_descriptors(), before);
    lab.sockets().detach(Lab::port);
    EXPECT_EQ(open_descriptors(), before - 1) << "the handle on the namespace";
    EXPECT_EQ(lab.sockets().open(there, SOCK_STREAM), -ENETDOWN);
}

}  // namespace
}  // namespace pasta::splice
