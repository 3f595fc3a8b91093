// Which rules get along, and which ports a rule stands for.
#include <gtest/gtest.h>

#include "control/config.hpp"

namespace pasta::control {
namespace {

std::string message_for(const std::string& namespaces) {
    try {
        parse_config("namespaces:\n" + namespaces, "f");
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "accepted";
}

/// One namespace with these lists under `forward`.
std::string one(const std::string& lists) {
    return "- {netns: a, forward: {" + lists + "}}\n";
}
/// Two of them, with these.
std::string two(const std::string& first, const std::string& second) {
    return one(first) + "- {netns: b, forward: {" + second + "}}\n";
}

struct Row {
    std::string namespaces;
    std::string message;  ///< after "f:"
};

TEST(ForwardCheck, TwoRulesForOnePortAreOneTooMany) {
    const std::string first = "namespaces[0].forward.tcp[0]";
    const Row table[] = {
        {one("tcp: [80, 80]"), "2: namespaces[0].forward.tcp[1]: TCP port 80 is taken by f:2: " +
                                   first + " (each port once)"},
        {one("tcp: ['70-90,85:8085']"),
         "2: " + first + ": TCP port 85 is taken by the same rule (each port once)"},
        {one("tcp: [8000-8010, '127.0.0.1/8010:80']"),
         "2: namespaces[0].forward.tcp[1]: TCP port 8010 is taken by f:2: " + first +
             " (each port once)"},
        {two("tcp: [80]", "tcp: [1-1024]"),
         "3: namespaces[1].forward.tcp[0]: TCP port 80 is taken by f:2: " + first +
             " (each port once)"},
        {two("udp: ['0.0.0.0/53']", "udp: ['127.0.0.1%lo/53']"),
         "3: namespaces[1].forward.udp[0]: UDP port 53 is taken by f:2: "
         "namespaces[0].forward.udp[0] (each port once)"},
        {one("udp_to_host: [53, 53:54]"),
         "2: namespaces[0].forward.udp_to_host[1]: UDP port 53 is taken by f:2: "
         "namespaces[0].forward.udp_to_host[0] (each port once)"},
    };
    for (const auto& [namespaces, message] : table)
        EXPECT_EQ(message_for(namespaces), "f:" + message) << namespaces;
}

TEST(ForwardCheck, TheseGetAlong) {
    const std::string table[] = {
        one("tcp: [80], udp: [80], tcp_to_host: [80], udp_to_host: [80]"),
        two("tcp_to_host: [80]", "tcp_to_host: [80]"),
        two("tcp: ['127.0.0.1/80']", "tcp: ['198.51.100.2/80', '[::1]/80', '[::]%eth0/81']"),
        two("tcp: ['0.0.0.0/80']", "tcp: ['[::]/80']"),
        two("tcp: ['%eth0/80']", "tcp: ['%eth1/80']"),
        two("tcp: ['1-1024,~80']", "tcp: [80]"),
        two("tcp: [auto]", "tcp: [80-90]"),
        two("tcp: [all]", "tcp: ['~22']"),
        "- {netns: a, disable: [ipv6], forward: {tcp: [80]}}\n"
        "- {netns: b, disable: [ipv4], forward: {tcp: [80]}}\n",
    };
    for (const std::string& namespaces : table)
        EXPECT_EQ(message_for(namespaces), "accepted") << namespaces;
}

TEST(PortSpec, ExpandsToWhatIsLeft) {
    struct Expansion {
        const char* spec;
        std::vector<PortMapping> ports;
    };
    const Expansion table[] = {
        {"none", {}},
        {"auto", {}},
        {"80,8080:81", {{{80, 80}, 80}, {{8080, 8080}, 81}}},
        {"10-20:110-120,~10,~13-14,~20-30", {{{11, 12}, 111}, {{15, 19}, 115}}},
        {"10-20,~1-100", {}},
        {"all", {{{1, 32767}, 1}, {{61000, 65535}, 61000}}},
        {"~80,~60000-65535", {{{1, 79}, 1}, {{81, 32767}, 81}}},
        {"40000", {{{40000, 40000}, 40000}}},
        {"127.0.0.1/all", {{{1, 32767}, 1}, {{61000, 65535}, 61000}}},
    };
    for (const auto& [spec, ports] : table)
        EXPECT_EQ(expand(parse_port_spec(spec, ListenSide::host), {32768, 60999}), ports) << spec;
}

}  // namespace
}  // namespace pasta::control
