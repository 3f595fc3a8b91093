#include "control/port_spec.hpp"

#include <gtest/gtest.h>

#include "control/ip_text.hpp"
#include "control/value_syntax.hpp"

namespace pasta::control {
namespace {

using Kind = PortSpec::Kind;

PortSpec list_of(std::vector<PortMapping> mappings, std::vector<PortRange> exclusions = {}) {
    PortSpec spec;
    spec.kind = Kind::list;
    spec.mappings = std::move(mappings);
    spec.exclusions = std::move(exclusions);
    return spec;
}

TEST(PortSpec, WordsStandForWholeSets) {
    EXPECT_EQ(parse_port_spec("none", ListenSide::host).kind, Kind::none);
    EXPECT_EQ(parse_port_spec("auto", ListenSide::ns).kind, Kind::automatic);
    EXPECT_EQ(parse_port_spec("all", ListenSide::host).kind, Kind::all);
}

TEST(PortSpec, PortsKeepTheirNumberUnlessMapped) {
    EXPECT_EQ(parse_port_spec("22", ListenSide::host), list_of({{{22, 22}, 22}}));
    EXPECT_EQ(parse_port_spec("2222:22", ListenSide::ns), list_of({{{2222, 2222}, 22}}));
    EXPECT_EQ(parse_port_spec("8000-8010:9000-9010", ListenSide::host),
              list_of({{{8000, 8010}, 9000}}));
    EXPECT_EQ(parse_port_spec("1,65535", ListenSide::host),
              list_of({{{1, 1}, 1}, {{65535, 65535}, 65535}}));
}

TEST(PortSpec, ExclusionsStandAnywhereInTheList) {
    EXPECT_EQ(parse_port_spec("~80,1-1024,~443-445", ListenSide::host),
              list_of({{{1, 1024}, 1}}, {{80, 80}, {443, 445}}));
    EXPECT_EQ(parse_port_spec("~80", ListenSide::ns), list_of({}, {{80, 80}}));
}

TEST(PortSpec, ListenerIsAddressInterfaceOrBoth) {
    PortSpec expected = list_of({{{22, 22}, 22}});
    expected.address = parse_address("192.0.2.1");
    EXPECT_EQ(parse_port_spec("192.0.2.1/22", ListenSide::host), expected);
    expected.interface = "eth0";
    EXPECT_EQ(parse_port_spec("192.0.2.1%eth0/22", ListenSide::host), expected);
    expected.address.reset();
    EXPECT_EQ(parse_port_spec("%eth0/22", ListenSide::host), expected);
    expected.interface.clear();
    expected.address = parse_address("2001:db8::1");
    EXPECT_EQ(parse_port_spec("2001:db8::1/22", ListenSide::host), expected);
    EXPECT_EQ(parse_port_spec("[2001:db8::1]/22", ListenSide::host), expected);
}

TEST(ForwardEntry, AddressMayEndInAColon) {
    EXPECT_EQ(parse_forward_entry("127.0.0.1:2222:22", ListenSide::host),
              parse_port_spec("127.0.0.1/2222:22", ListenSide::host));
    EXPECT_EQ(parse_forward_entry("[::1]:2222:22", ListenSide::host),
              parse_port_spec("::1/2222:22", ListenSide::host));
    EXPECT_EQ(parse_forward_entry("127.0.0.1:22", ListenSide::host),
              parse_port_spec("127.0.0.1/22", ListenSide::host));
}

TEST(ForwardEntry, PortsAndSlashesReadAsUsual) {
    EXPECT_EQ(parse_forward_entry("8080:80", ListenSide::host), list_of({{{8080, 8080}, 80}}));
    EXPECT_EQ(parse_forward_entry("127.0.0.1/8080:80", ListenSide::host),
              parse_port_spec("127.0.0.1/8080:80", ListenSide::host));
}

TEST(PortSpec, WordsMayHaveAnAddress) {
    const PortSpec spec = parse_port_spec("127.0.0.1%lo/auto", ListenSide::host);
    EXPECT_EQ(spec.kind, Kind::automatic);
    EXPECT_EQ(spec.address, parse_address("127.0.0.1"));
    EXPECT_EQ(spec.interface, "lo");
    EXPECT_EQ(parse_port_spec("[::1]/all", ListenSide::host).kind, Kind::all);
}

TEST(PortSpec, TextReadsTheSame) {
    for (const char* text :
         {"none", "auto", "all", "22", "2222:22", "8000-8010:9000-9010,1,~8005", "~80,~90-99",
          "192.0.2.1/22", "192.0.2.1%eth0/auto", "%eth0/all", "[2001:db8::1]/65535"})
        EXPECT_EQ(to_text(parse_port_spec(text, ListenSide::host)), text);
}

struct Refused {
    const char* text;
    ListenSide side;
    const char* message;
};

TEST(PortSpec, RefusesWithWhatIsAllowed) {
    constexpr auto host = ListenSide::host;
    const Refused table[] = {
        {"", host, "an empty value is not allowed (a port is a number from 1 to 65535)"},
        {"0", host, "0 is not allowed (a port is a number from 1 to 65535)"},
        {"65536", host, "65536 is not allowed (a port is a number from 1 to 65535)"},
        {"-5", host, "an empty value is not allowed (a port is a number from 1 to 65535)"},
        {"http", host, "http is not allowed (a port is a number from 1 to 65535)"},
        {"80,", host, "an empty value is not allowed (a port is a number from 1 to 65535)"},
        {"80:81:82", host, "81:82 is not allowed (a port is a number from 1 to 65535)"},
        {"90-80", host, "90-80 is a reversed range (FIRST-LAST with FIRST <= LAST)"},
        {"80-90:8080", host, "80-90:8080 maps ranges of different length (equal length)"},
        {"~80-90,~90", host, "~90 overlaps another exclusion (each port once)"},
        {"127.0.0.1/none", host, "none stands alone (no ports beside it)"},
        {"80,auto", host, "auto stands alone (no ports beside it)"},
        {"none,80", host, "none stands alone (no ports beside it)"},
        {"/80", host, "nothing before the slash (ADDRESS, %INTERFACE, or both)"},
        {"8080/sctp", host, "8080 is not allowed (an IPv4 or IPv6 address to listen on)"},
        {"224.0.0.1/80", host, "224.0.0.1 is not allowed (an IPv4 or IPv6 address to listen on)"},
        {"192.0.2.1/80/81", host, "80/81 is not allowed (a port is a number from 1 to 65535)"},
        {"%/80", host,
         "an empty value is not allowed (an interface name of 1 to 15 characters without spaces "
         "and "
         "/ : %)"},
        {"192.0.2.1/80", ListenSide::ns,
         "192.0.2.1/80 names an address or interface to listen on (ports only, the namespace's "
         "loopback is listened on)"},
    };
    for (const auto& [text, side, message] : table) {
        try {
            parse_port_spec(text, side);
            ADD_FAILURE() << "accepted: " << text;
        } catch (const ValueError& error) {
            EXPECT_STREQ(error.what(), message) << text;
        }
    }
}

}  // namespace
}  // namespace pasta::control
