#include "control/value_syntax.hpp"

#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace pasta::control {

namespace {

/// All of `text` as a decimal number from min to max; digits only.
std::optional<unsigned> read_number(std::string_view text, unsigned min, unsigned max) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    if (value < min || value > max) return std::nullopt;
    return value;
}

template <unsigned min, unsigned max>
std::optional<unsigned> read_range(std::string_view text) {
    return read_number(text, min, max);
}

bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

template <typename T>
using Word = std::pair<std::string_view, T>;

constexpr Word<Polling> polling_words[] = {
    {"busy", Polling::busy}, {"adaptive", Polling::adaptive}, {"interrupt", Polling::interrupt}};
constexpr Word<Configure> configure_words[] = {
    {"netlink", Configure::netlink}, {"dhcp", Configure::dhcp}, {"none", Configure::none}};
constexpr Word<Queues> queues_words[] = {{"1", Queues::one}, {"all", Queues::all}};

template <typename T, size_t n>
std::optional<T> find_word(const Word<T> (&words)[n], std::string_view text) {
    for (const auto& [word, value] : words)
        if (word == text) return value;
    return std::nullopt;
}

template <typename T, size_t n>
std::string_view find_value(const Word<T> (&words)[n], T value) {
    return std::find_if(words, words + n, [&](const auto& w) { return w.second == value; })->first;
}

constexpr unsigned cpu_max = 1023;  // CPU_SETSIZE - 1

/// "2,3" or "[2, 3]": distinct CPUs.
std::optional<Workers> read_cpus(std::string_view text) {
    if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
    WorkerCpus workers;
    while (true) {
        const size_t comma = text.find(',');
        std::string_view item = text.substr(0, comma);
        while (item.starts_with(' '))
            item.remove_prefix(1);
        const auto cpu = read_number(item, 0, cpu_max);
        if (!cpu || std::ranges::count(workers.cpus, *cpu) != 0) return std::nullopt;
        workers.cpus.push_back(*cpu);
        if (comma == std::string_view::npos) return workers;
        text.remove_prefix(comma + 1);
    }
}

std::optional<Workers> read_workers(std::string_view text) {
    if (text == "auto") return AutoWorkers{};
    if (text.find_first_of("[,") != std::string_view::npos) return read_cpus(text);
    const auto count = read_number(text, 1, 256);
    if (!count) return std::nullopt;
    return WorkerCount{*count};
}

std::optional<std::chrono::seconds> read_duration(std::string_view text) {
    if (text == "0") return std::chrono::seconds{0};
    if (text.empty()) return std::nullopt;
    const auto number = read_number(text.substr(0, text.size() - 1), 1, 1'000'000);
    if (!number) return std::nullopt;
    switch (text.back()) {
        case 's':
            return std::chrono::seconds{*number};
        case 'm':
            return std::chrono::minutes{*number};
        case 'h':
            return std::chrono::hours{*number};
        default:
            return std::nullopt;
    }
}

std::optional<std::string> read_name(std::string_view text) {
    const auto valid = [](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; };
    if (text.empty() || text.size() > 63 || !std::ranges::all_of(text, valid)) return std::nullopt;
    return std::string{text};
}

std::optional<std::string> read_interface(std::string_view text) {
    // What the kernel refuses (dev_valid_name()), and '%', which it would replace by a number.
    const auto valid = [](char c) {
        return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '%';
    };
    if (text.empty() || text.size() >= IFNAMSIZ || text == "." || text == "..") return std::nullopt;
    if (!std::ranges::all_of(text, valid)) return std::nullopt;
    return std::string{text};
}

std::optional<std::string> read_path(std::string_view text) {
    if (text.empty() || text.find('\0') != std::string_view::npos) return std::nullopt;
    return std::string{text};
}

std::optional<std::string> read_netns(std::string_view text) {
    if (text == "." || text == "..") return std::nullopt;
    auto path = read_path(text);
    if (path && path->find('/') == std::string::npos) path->insert(0, "/run/netns/");
    return path;
}

std::optional<std::string> read_endpoint(std::string_view text) {
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    std::string_view address = text.substr(0, colon);
    const bool brackets = address.starts_with('[') && address.ends_with(']');
    if (brackets) address = address.substr(1, address.size() - 2);
    const auto parsed = parse_address(address);
    if (!parsed || parsed->is_v6() != brackets) return std::nullopt;
    if (!read_number(text.substr(colon + 1), 1, 65535)) return std::nullopt;
    return std::string{text};
}

std::optional<pid_t> read_pid(std::string_view text) {
    const auto pid = read_number(text, 1, 4194304);  // PID_MAX_LIMIT
    if (!pid) return std::nullopt;
    return static_cast<pid_t>(*pid);
}

std::optional<wire::IpAddress> read_server(std::string_view text) {
    const auto address = parse_address(text);
    return address && address->is_unicast() ? address : std::nullopt;
}

std::optional<wire::IpAddress> read_address(std::string_view text) {
    const auto address = read_server(text);
    return address && !address->is_loopback() ? address : std::nullopt;
}

std::optional<core::Prefix> read_prefix(std::string_view text) {
    const auto prefix = parse_prefix(text);
    if (!prefix || prefix->length == 0) return std::nullopt;
    if (!prefix->address.is_unicast() || prefix->address.is_loopback()) return std::nullopt;
    return prefix;
}

std::optional<uint8_t> read_netmask(std::string_view text) {
    const auto length = parse_netmask(text);
    return length && *length > 0 ? length : std::nullopt;
}

std::optional<wire::MacAddress> read_mac(std::string_view text) {
    const auto mac = parse_mac(text);
    return mac && !mac->is_multicast() && *mac != wire::MacAddress{} ? mac : std::nullopt;
}

bool is_label(std::string_view label) {
    const auto valid = [](char c) { return is_alnum(c) || c == '-' || c == '_'; };
    return !label.empty() && label.size() <= 63 && std::ranges::all_of(label, valid) &&
           label.front() != '-' && label.back() != '-';
}

std::optional<std::string> read_domain(std::string_view text) {
    if (text.ends_with('.')) text.remove_suffix(1);
    if (text.size() > 253) return std::nullopt;
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find('.', begin), text.size());
        if (!is_label(text.substr(begin, end - begin))) return std::nullopt;
        begin = end + 1;
    }
    return std::string{text};
}

std::optional<Switch> read_switch(std::string_view text) {
    for (const Switch& each : switches)
        if (each.name == text) return each;
    return std::nullopt;
}

}  // namespace

constinit const ValueSyntax<Workers> workers_syntax{
    "auto, a number from 1 to 256, or distinct CPUs such as [2, 3]", read_workers};
constinit const ValueSyntax<unsigned> cpu_syntax{"0 to 1023", read_range<0, cpu_max>};
constinit const ValueSyntax<Polling> polling_syntax{
    "busy, adaptive, interrupt", [](auto text) { return find_word(polling_words, text); }};
constinit const ValueSyntax<unsigned> umem_mib_syntax{"4 to 65536", read_range<4, 65536>};
constinit const ValueSyntax<std::chrono::seconds> duration_syntax{
    "0 for never, or a time such as 30s, 10m, 1h", read_duration};
constinit const ValueSyntax<uint32_t> mtu_syntax{"68 to 65520", read_range<68, 65520>};
constinit const ValueSyntax<Configure> configure_syntax{
    "netlink, dhcp, none", [](auto text) { return find_word(configure_words, text); }};
constinit const ValueSyntax<Queues> queues_syntax{
    "1, all", [](auto text) { return find_word(queues_words, text); }};
constinit const ValueSyntax<std::string> name_syntax{"1 to 63 letters, digits and any of . _ -",
                                                     read_name};
constinit const ValueSyntax<std::string> interface_syntax{
    "an interface name of 1 to 15 characters without spaces and / : %", read_interface};
constinit const ValueSyntax<std::string> netns_syntax{"a path, or a name in /run/netns",
                                                      read_netns};
constinit const ValueSyntax<std::string> path_syntax{"a path", read_path};
constinit const ValueSyntax<pid_t> pid_syntax{"a process id, 1 to 4194304", read_pid};
constinit const ValueSyntax<std::string> endpoint_syntax{"ADDRESS:PORT", read_endpoint};
constinit const ValueSyntax<wire::IpAddress> address_syntax{
    "an IPv4 or IPv6 unicast address, not loopback", read_address};
constinit const ValueSyntax<core::Prefix> prefix_syntax{
    "a unicast address with its prefix length, such as 198.51.100.1/24", read_prefix};
constinit const ValueSyntax<wire::IpAddress> server_syntax{"an IPv4 or IPv6 unicast address",
                                                           read_server};
constinit const ValueSyntax<uint8_t> netmask_syntax{"1 to 32, or a mask such as 255.255.255.0",
                                                    read_netmask};
constinit const ValueSyntax<wire::MacAddress> mac_syntax{
    "a unicast MAC address such as 02:00:00:00:00:01", read_mac};
constinit const ValueSyntax<std::string> domain_syntax{"a domain name of letters, digits, - and _",
                                                       read_domain};
constinit const ValueSyntax<Switch> switch_syntax{
    "ipv4, ipv6, tcp, udp, icmp, dhcp, dhcpv6, ndp, ra", read_switch};

std::string one_line(std::string message) {
    const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    std::ranges::replace_if(message, is_control, '?');
    return message;
}

ValueError::ValueError(std::string message) : std::runtime_error(one_line(std::move(message))) {}

std::string not_allowed(std::string_view text, std::string_view allowed) {
    return fmt::format("{} is not allowed ({})", text.empty() ? "an empty value" : text, allowed);
}

std::string_view to_text(Polling polling) {
    return find_value(polling_words, polling);
}

std::string_view to_text(Configure configure) {
    return find_value(configure_words, configure);
}

std::string_view to_text(Queues queues) {
    return find_value(queues_words, queues);
}

std::string to_text(std::chrono::seconds duration) {
    const auto seconds = duration.count();
    if (seconds == 0) return "0";
    if (seconds % 3600 == 0) return fmt::format("{}h", seconds / 3600);
    if (seconds % 60 == 0) return fmt::format("{}m", seconds / 60);
    return fmt::format("{}s", seconds);
}

void add_address(AddressPair& pair, const wire::IpAddress& address) {
    auto& place = address.is_v4() ? pair.v4 : pair.v6;
    if (place)
        throw ValueError(fmt::format("{} after {} (one address for each family)", to_text(address),
                                     to_text(*place)));
    place = address;
}

void add_prefix(std::vector<core::Prefix>& prefixes, const core::Prefix& prefix) {
    if (std::ranges::count(prefixes, prefix.address, &core::Prefix::address) != 0)
        throw ValueError(
            fmt::format("{} is given twice (each address once)", to_text(prefix.address)));
    prefixes.push_back(prefix);
}

}  // namespace pasta::control
