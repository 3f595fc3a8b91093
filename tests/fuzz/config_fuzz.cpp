// Text that users write: the config file, port specs, addresses. The first byte chooses. Whatever
// is refused is refused with one line; whatever is accepted is written and read back the same.

#include <algorithm>
#include <string>
#include <string_view>

#include "control/config.hpp"
#include "control/ip_text.hpp"
#include "control/port_spec.hpp"
#include "control/value_syntax.hpp"
#include "tests/fuzz/input.hpp"

namespace pasta::fuzz {
namespace {

using namespace control;

void require_one_line(const std::string& message) {
    require(!message.empty(), "an empty message");
    for (const char c : message)
        require(static_cast<unsigned char>(c) >= ' ' && c != 0x7f, "a message of several lines");
}

void fuzz_config(std::string_view text) {
    Config config;
    try {
        config = parse_config(std::string{text}, "file");
    } catch (const ConfigError& error) {
        return require_one_line(error.what());
    }
    const std::string written = to_yaml(config);
    const Config again = parse_config(written, "again");
    require(to_yaml(again) == written, "written twice, it differs");
    // Bytes that are no UTF-8, which a path may have, cannot be written in YAML.
    if (std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; }))
        require(again == config, "written, it reads differently");
}

void fuzz_ports(std::string_view text) {
    for (const ListenSide side : {ListenSide::host, ListenSide::ns})
        for (const auto parse : {parse_port_spec, parse_forward_entry})
            try {
                const PortSpec spec = parse(text, side);
                for (const PortMapping& mapping : spec.mappings)
                    require(mapping.from.first <= mapping.from.last, "a range backwards");
            } catch (const ValueError& error) {
                require_one_line(error.what());
            }
}

void fuzz_addresses(std::string_view text) {
    if (const auto a = parse_address(text))
        require(parse_address(to_text(*a)) == a, "written, an address reads differently");
    if (const auto p = parse_prefix(text)) {
        const auto again = parse_prefix(to_text(*p));
        require(again && *again == *p, "written, a prefix reads differently");
    }
    if (const auto m = parse_mac(text))
        require(parse_mac(to_text(*m)) == m, "written, a MAC address reads differently");
    if (const auto bits = parse_netmask(text)) require(*bits <= 32, "a netmask of too many bits");
}

}  // namespace
}  // namespace pasta::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace pasta::fuzz;
    if (size == 0) return 0;
    const std::string_view text{reinterpret_cast<const char*>(data) + 1, size - 1};
    switch (data[0] % 3) {
        case 0:
            fuzz_config(text);
            break;
        case 1:
            fuzz_ports(text);
            break;
        default:
            fuzz_addresses(text);
    }
    return 0;
}
