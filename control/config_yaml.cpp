// The config file: YAML to Config. One handler for each key, beside its name.
#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "control/config.hpp"
#include "control/forward_check.hpp"
#include "control/value_syntax.hpp"
#include "control/yaml_place.hpp"

namespace pasta::control {

namespace {

using Place = YamlPlace;

Workers read_workers(const Place& place) {
    if (!place.node().IsSequence()) return place.value(workers_syntax);
    WorkerCpus workers;
    place.for_each("CPUs", [&](const Place& entry) {
        const unsigned cpu = entry.value(cpu_syntax);
        if (std::ranges::count(workers.cpus, cpu) != 0)
            entry.fail(fmt::format("CPU {} is given twice (each CPU once)", cpu));
        workers.cpus.push_back(cpu);
    });
    if (workers.cpus.empty()) place.fail(not_allowed("an empty list", workers_syntax.words()));
    return workers;
}

void read_dataplane(const Place& place, DataplaneConfig& out) {
    place.read_map({
        {"workers", [&](const Place& p) { out.workers = read_workers(p); }},
        {"polling", [&](const Place& p) { out.polling = p.value(polling_syntax); }},
        {"umem_mib", [&](const Place& p) { out.umem_mib = p.value(umem_mib_syntax); }},
        {"hash_rekey", [&](const Place& p) { out.hash_rekey = p.value(duration_syntax); }},
    });
}

/// For keys whose feature is still to come: fails unless they are off.
void reject_unless_none(const Place& place, const ValueSyntax<std::string>& syntax) {
    if (place.value_unless("none", syntax)) place.fail("not implemented yet (none)");
}

void read_control(const Place& place) {
    place.read_map({
        {"socket", [](const Place& p) { reject_unless_none(p, path_syntax); }},
        {"metrics", [](const Place& p) { reject_unless_none(p, endpoint_syntax); }},
    });
}

void read_host(const Place& place, HostConfig& out) {
    place.read_map({
        {"interface",
         [&](const Place& p) { out.interface = p.value_unless("auto", interface_syntax); }},
    });
}

void read_forward_list(const Place& place, const ForwardList& list, ForwardConfig& out) {
    place.for_each("port specifications", [&](const Place& entry) {
        const std::string text = entry.text("a port specification such as \"8080:80\"");
        entry.checked([&] {
            add_rule(out.*list.rules, {parse_forward_entry(text, list.side), entry.where()});
        });
    });
}

void read_forward(const Place& place, ForwardConfig& out) {
    Place::Keys keys;
    for (const ForwardList& list : forward_lists)
        keys.emplace_back(list.key, [&](const Place& p) { read_forward_list(p, list, out); });
    place.read_map(keys);
}

std::vector<std::string> read_command(const Place& place) {
    std::vector<std::string> argv;
    place.for_each("words, such as [bash, -l]",
                   [&](const Place& entry) { argv.push_back(entry.text("a word")); });
    if (argv.empty()) place.fail(not_allowed("an empty list", "a command and its arguments"));
    if (argv.front().empty()) place.fail(not_allowed("an empty command", "a command to run"));
    return argv;
}

AddressPair read_pair(const Place& place, std::string_view keywords,
                      const ValueSyntax<wire::IpAddress>& syntax = address_syntax) {
    AddressPair pair;
    place.each_value(keywords, syntax, [&](const Place& entry, const wire::IpAddress& address) {
        entry.checked([&] { add_address(pair, address); });
    });
    return pair;
}

/// The same for keys where one keyword means an empty pair.
AddressPair read_pair_unless(std::string_view keyword, const Place& place,
                             const ValueSyntax<wire::IpAddress>& syntax = address_syntax) {
    return place.is(keyword) ? AddressPair{} : read_pair(place, keyword, syntax);
}

std::optional<AddressPair> read_host_loopback(const Place& place) {
    if (place.is("gateway")) return std::nullopt;
    if (place.is("none")) return AddressPair{};
    return read_pair(place, "gateway, none");
}

std::vector<core::Prefix> read_prefixes(const Place& place) {
    std::vector<core::Prefix> prefixes;
    if (place.is("auto")) return prefixes;
    place.each_value("auto", prefix_syntax, [&](const Place& entry, const core::Prefix& prefix) {
        entry.checked([&] { add_prefix(prefixes, prefix); });
    });
    return prefixes;
}

/// A list to announce: nothing for `auto`, empty for `none`.
template <typename T>
std::optional<std::vector<T>> read_announced(const Place& place, const ValueSyntax<T>& syntax) {
    if (place.is("auto")) return std::nullopt;
    std::vector<T> values;
    if (place.is("none")) return values;
    place.each_value("auto, none", syntax,
                     [&](const Place&, const T& value) { values.push_back(value); });
    return values;
}

void read_disabled(const Place& place, NamespaceConfig& out) {
    place.for_each(switch_syntax.allowed,
                   [&](const Place& entry) { out.*entry.value(switch_syntax).on = false; });
}

/// Exactly one of netns, pid and command says which namespace is meant.
class TargetReader {
  public:
    explicit TargetReader(NamespaceConfig& out) : out_(out) {}

    Place::Handler operator()(std::string_view key, std::function<Target(const Place&)> read) {
        return [this, key, read = std::move(read)](const Place& place) {
            if (!key_.empty())
                place.fail(fmt::format("{} is given already (one of netns, pid, command)", key_));
            key_ = key;
            out_.target = read(place);
        };
    }
    void require(const Place& ns) const {
        if (key_.empty()) ns.fail("no target is given (one of netns, pid, command)");
    }

  private:
    NamespaceConfig& out_;
    std::string_view key_;
};

NamespaceConfig read_namespace(const Place& place) {
    NamespaceConfig out;
    TargetReader target{out};
    place.read_map({
        {"name", [&](const Place& p) { out.name = p.value(name_syntax); }},
        {"netns", target("netns", [](const Place& p) { return NetnsPath{p.value(netns_syntax)}; })},
        {"pid", target("pid", [](const Place& p) { return NetnsPid{p.value(pid_syntax)}; })},
        {"command",
         target("command", [](const Place& p) { return NetnsCommand{read_command(p)}; })},
        {"interface",
         [&](const Place& p) { out.interface = p.value_unless("auto", interface_syntax); }},
        {"mtu", [&](const Place& p) { out.mtu = p.value(mtu_syntax); }},
        {"configure", [&](const Place& p) { out.configure = p.value(configure_syntax); }},
        {"queues", [&](const Place& p) { out.queues = p.value(queues_syntax); }},
        {"addresses", [&](const Place& p) { out.addresses = read_prefixes(p); }},
        {"gateway", [&](const Place& p) { out.gateway = read_pair_unless("auto", p); }},
        {"outbound", [&](const Place& p) { out.outbound = read_pair_unless("auto", p); }},
        {"mac", [&](const Place& p) { out.mac = p.value(mac_syntax); }},
        {"ns_mac", [&](const Place& p) { out.ns_mac = p.value_unless("auto", mac_syntax); }},
        {"map_host_loopback",
         [&](const Place& p) { out.map_host_loopback = read_host_loopback(p); }},
        {"map_guest_addr",
         [&](const Place& p) { out.map_guest_addr = read_pair_unless("none", p); }},
        {"dns_forward", [&](const Place& p) { out.dns_forward = read_pair_unless("none", p); }},
        {"dns_host",
         [&](const Place& p) { out.dns_host = read_pair_unless("auto", p, server_syntax); }},
        {"dns", [&](const Place& p) { out.dns = read_announced(p, address_syntax); }},
        {"search", [&](const Place& p) { out.search = read_announced(p, domain_syntax); }},
        {"hostname",
         [&](const Place& p) {
             out.hostname = p.value_unless("none", domain_syntax).value_or("");
         }},
        {"fqdn",
         [&](const Place& p) { out.fqdn = p.value_unless("none", domain_syntax).value_or(""); }},
        {"disable", [&](const Place& p) { read_disabled(p, out); }},
        {"forward", [&](const Place& p) { read_forward(p, out.forward); }},
        {"pcap", [](const Place& p) { reject_unless_none(p, path_syntax); }},
    });
    target.require(place);
    if (const auto contradiction = complete(out))
        place.fail_at(contradiction->key, contradiction->text);
    return out;
}

void read_namespaces(const Place& place, std::vector<NamespaceConfig>& out) {
    place.for_each("namespaces", [&](const Place& entry) {
        NamespaceConfig ns = read_namespace(entry);
        if (std::ranges::count(out, ns.name, &NamespaceConfig::name) != 0)
            entry.fail_at("name",
                          fmt::format("the name {} is given twice (distinct names)", ns.name));
        out.push_back(std::move(ns));
    });
}

/// Notes where documents begin.
class DocumentStarts final : public YAML::EventHandler {
  public:
    std::vector<YAML::Mark> marks;

    void OnDocumentStart(const YAML::Mark& mark) override { marks.push_back(mark); }
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
    void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
    void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  const std::string&) override {}
    void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                         YAML::EmitterStyle::value) override {}
    void OnSequenceEnd() override {}
    void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                    YAML::EmitterStyle::value) override {}
    void OnMapEnd() override {}
};

/// Where a second document begins, or what stands behind the first one and belongs to none. Not
/// by YAML::LoadAll(), which takes a bracket without its other half for endlessly many documents.
std::optional<YAML::Mark> second_document(const std::string& text) {
    std::istringstream in(text);
    YAML::Parser parser(in);
    DocumentStarts starts;
    while (starts.marks.size() < 2 && parser.HandleNextDocument(starts)) {
    }
    if (starts.marks.size() < 2) return std::nullopt;
    return starts.marks[1];
}

Config read_document(const Place& place) {
    Config config;
    place.read_map({
        {"dataplane", [&](const Place& p) { read_dataplane(p, config.dataplane); }},
        {"control", read_control},
        {"host", [&](const Place& p) { read_host(p, config.host); }},
        {"namespaces", [&](const Place& p) { read_namespaces(p, config.namespaces); }},
    });
    if (!place.node()["namespaces"]) place.fail("namespaces is missing (a list of namespaces)");
    check_forwards(config.namespaces);
    return config;
}

}  // namespace

Config parse_config(const std::string& text, const std::string& file) {
    try {
        const std::optional<YAML::Mark> second = second_document(text);
        if (second)
            throw ConfigError(
                fmt::format("{}:{}: a second document, or a bracket too many (one document)", file,
                            line_number(*second)));
        return read_document({file, YAML::Load(text)});
    } catch (const YAML::Exception& error) {
        throw ConfigError(
            fmt::format("{}:{}: {} (YAML)", file, line_number(error.mark), error.msg));
    }
}

Config load_config(const std::string& path) {
    const auto unreadable = [&](int error) {
        return ConfigError(fmt::format("{}: {} (a readable file)", path, std::strerror(error)));
    };
    if (std::filesystem::is_directory(path)) throw unreadable(EISDIR);
    std::ifstream file{path};
    if (!file) throw unreadable(errno);
    std::ostringstream text;
    text << file.rdbuf();
    return parse_config(text.str(), path);
}

}  // namespace pasta::control
