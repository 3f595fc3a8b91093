#include "control/port_spec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "control/value_syntax.hpp"

namespace pasta::control {

namespace {

constexpr std::string_view port_words = "a port is a number from 1 to 65535";

uint16_t parse_port(std::string_view text) {
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size() || port == 0)
        throw ValueError(not_allowed(text, port_words));
    return port;
}

PortRange parse_range(std::string_view text) {
    const size_t dash = text.find('-');
    PortRange range;
    range.first = parse_port(text.substr(0, dash));
    range.last = dash == std::string_view::npos ? range.first : parse_port(text.substr(dash + 1));
    if (range.last < range.first)
        throw ValueError(
            fmt::format("{} is a reversed range (FIRST-LAST with FIRST <= LAST)", text));
    return range;
}

PortMapping parse_mapping(std::string_view text) {
    const size_t colon = text.find(':');
    const PortRange from = parse_range(text.substr(0, colon));
    if (colon == std::string_view::npos) return {from, from.first};
    const PortRange to = parse_range(text.substr(colon + 1));
    if (to.last - to.first != from.last - from.first)
        throw ValueError(fmt::format("{} maps ranges of different length (equal length)", text));
    return {from, to.first};
}

void add_exclusion(PortSpec& spec, std::string_view text) {
    const PortRange range = parse_range(text);
    const auto overlaps = [&](const PortRange& other) {
        return range.first <= other.last && other.first <= range.last;
    };
    if (std::ranges::any_of(spec.exclusions, overlaps))
        throw ValueError(fmt::format("~{} overlaps another exclusion (each port once)", text));
    spec.exclusions.push_back(range);
}

void parse_list(PortSpec& spec, std::string_view list) {
    spec.kind = PortSpec::Kind::list;
    while (true) {
        const size_t comma = list.find(',');
        const std::string_view item = list.substr(0, comma);
        if (item == "none" || item == "auto" || item == "all")
            throw ValueError(fmt::format("{} stands alone (no ports beside it)", item));
        if (item.starts_with('~'))
            add_exclusion(spec, item.substr(1));
        else
            spec.mappings.push_back(parse_mapping(item));
        if (comma == std::string_view::npos) return;
        list.remove_prefix(comma + 1);
    }
}

/// Takes `text` for a word that stands for a whole set; false if it is none.
bool parse_word(PortSpec& spec, std::string_view text) {
    if (text != "auto" && text != "all") return false;
    spec.kind = text == "auto" ? PortSpec::Kind::automatic : PortSpec::Kind::all;
    return true;
}

/// What stands before the slash: [ADDRESS][%INTERFACE].
void parse_listener(PortSpec& spec, std::string_view text) {
    const size_t percent = text.find('%');
    std::string_view address = text.substr(0, percent);
    if (percent != std::string_view::npos)
        spec.interface = interface_syntax(text.substr(percent + 1));
    else if (address.empty())
        throw ValueError("nothing before the slash (ADDRESS, %INTERFACE, or both)");
    if (address.empty()) return;
    if (address.starts_with('[') && address.ends_with(']'))
        address = address.substr(1, address.size() - 2);
    spec.address = parse_address(address);
    if (!spec.address || spec.address->is_multicast())
        throw ValueError(not_allowed(address, "an IPv4 or IPv6 address to listen on"));
    if (spec.address->is_v6() && spec.address->is_link_local() && spec.interface.empty())
        throw ValueError(fmt::format("{} is link-local (ADDRESS%INTERFACE)", address));
}

/// Where the colon stands that ends a leading ADDRESS, if there is one: an address has brackets or
/// dots, a list of ports has neither before its first colon.
size_t address_end(std::string_view text) {
    if (text.starts_with('[')) {
        const size_t bracket = text.find("]:");
        return bracket == std::string_view::npos ? bracket : bracket + 1;
    }
    const size_t colon = text.find(':');
    const bool is_address = colon != std::string_view::npos &&
                            text.substr(0, colon).find('.') != std::string_view::npos;
    return is_address ? colon : std::string_view::npos;
}

/// What is left of the mappings when the ports of `range` are taken out.
std::vector<PortMapping> without(const std::vector<PortMapping>& mappings, const PortRange& range) {
    std::vector<PortMapping> left;
    for (const PortMapping& mapping : mappings) {
        const auto [first, last] = mapping.from;
        if (range.last < first || last < range.first) {
            left.push_back(mapping);
            continue;
        }
        if (first < range.first)
            left.push_back({{first, static_cast<uint16_t>(range.first - 1)}, mapping.to});
        if (range.last < last)
            left.push_back({{static_cast<uint16_t>(range.last + 1), last},
                            static_cast<uint16_t>(mapping.to + (range.last + 1 - first))});
    }
    return left;
}

std::string to_text(const PortRange& range) {
    return range.first == range.last ? std::to_string(range.first)
                                     : fmt::format("{}-{}", range.first, range.last);
}

std::string to_text(const PortMapping& mapping) {
    const int length = mapping.from.last - mapping.from.first;
    const PortRange to{mapping.to, static_cast<uint16_t>(mapping.to + length)};
    return mapping.from == to ? to_text(to)
                              : fmt::format("{}:{}", to_text(mapping.from), to_text(to));
}

std::string list_text(const PortSpec& spec) {
    std::vector<std::string> items;
    for (const PortMapping& mapping : spec.mappings)
        items.push_back(to_text(mapping));
    for (const PortRange& range : spec.exclusions)
        items.push_back("~" + to_text(range));
    return fmt::format("{}", fmt::join(items, ","));
}

}  // namespace

PortSpec parse_port_spec(std::string_view text, ListenSide side) {
    PortSpec spec;
    if (text == "none" || parse_word(spec, text)) return spec;
    const size_t slash = text.find('/');
    if (slash == std::string_view::npos) {
        parse_list(spec, text);
        return spec;
    }
    if (side == ListenSide::ns)
        throw ValueError(
            fmt::format("{} names an address or interface to listen on (ports only, "
                        "the namespace's loopback is listened on)",
                        text));
    parse_listener(spec, text.substr(0, slash));
    const std::string_view ports = text.substr(slash + 1);
    if (!parse_word(spec, ports)) parse_list(spec, ports);
    return spec;
}

PortSpec parse_forward_entry(std::string_view text, ListenSide side) {
    const size_t end =
        text.find('/') == std::string_view::npos ? address_end(text) : std::string_view::npos;
    if (end == std::string_view::npos) return parse_port_spec(text, side);
    std::string spec{text};
    spec[end] = '/';
    return parse_port_spec(spec, side);
}

std::vector<PortMapping> expand(const PortSpec& spec, const PortRange& ephemeral) {
    if (spec.kind == PortSpec::Kind::none || spec.kind == PortSpec::Kind::automatic) return {};
    std::vector<PortRange> out = spec.exclusions;
    std::vector<PortMapping> mappings = spec.mappings;
    if (mappings.empty()) {
        mappings.push_back({{1, UINT16_MAX}, 1});
        if (ephemeral.first != 0) out.push_back(ephemeral);
    }
    for (const PortRange& range : out)
        mappings = without(mappings, range);
    return mappings;
}

std::string to_text(const PortSpec& spec) {
    if (spec.kind == PortSpec::Kind::none) return "none";
    std::string text;
    if (spec.address) {
        const std::string address = control::to_text(*spec.address);
        text = spec.address->is_v6() ? "[" + address + "]" : address;
    }
    if (!spec.interface.empty()) text += "%" + spec.interface;
    if (!text.empty()) text += "/";
    if (spec.kind == PortSpec::Kind::list) return text + list_text(spec);
    return text + (spec.kind == PortSpec::Kind::automatic ? "auto" : "all");
}

}  // namespace pasta::control
