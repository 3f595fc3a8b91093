// Config to YAML, every key written out.
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "control/config.hpp"
#include "control/value_syntax.hpp"

namespace pasta::control {

namespace {

void emit(YAML::Emitter& out, const char* key, std::string_view value) {
    out << YAML::Key << key << YAML::Value << std::string{value};
}

void emit(YAML::Emitter& out, const char* key, uint32_t value) {
    out << YAML::Key << key << YAML::Value << value;
}

void emit_list(YAML::Emitter& out, const char* key, const std::vector<std::string>& values) {
    out << YAML::Key << key << YAML::Value << YAML::Flow << values;
}

/// A list, or the keyword if it is empty.
template <typename T>
void emit_texts(YAML::Emitter& out, const char* key, const std::vector<T>& values,
                std::string_view keyword) {
    if (values.empty()) return emit(out, key, keyword);
    std::vector<std::string> texts;
    for (const T& value : values) {
        if constexpr (std::is_same_v<T, std::string>)
            texts.push_back(value);
        else
            texts.push_back(to_text(value));
    }
    emit_list(out, key, texts);
}

void emit_pair(YAML::Emitter& out, const char* key, const AddressPair& pair,
               std::string_view keyword) {
    std::vector<wire::IpAddress> addresses;
    for (const auto& address : {pair.v4, pair.v6})
        if (address) addresses.push_back(*address);
    emit_texts(out, key, addresses, keyword);
}

template <typename T>
void emit_announced(YAML::Emitter& out, const char* key,
                    const std::optional<std::vector<T>>& values) {
    if (values)
        emit_texts(out, key, *values, "none");
    else
        emit(out, key, "auto");
}

void emit_dataplane(YAML::Emitter& out, const DataplaneConfig& dataplane) {
    out << YAML::Key << "dataplane" << YAML::Value << YAML::BeginMap;
    if (const auto* workers = std::get_if<WorkerCount>(&dataplane.workers))
        emit(out, "workers", workers->count);
    else if (const auto* pinned = std::get_if<WorkerCpus>(&dataplane.workers))
        out << YAML::Key << "workers" << YAML::Value << YAML::Flow << pinned->cpus;
    else
        emit(out, "workers", "auto");
    emit(out, "polling", to_text(dataplane.polling));
    emit(out, "umem_mib", dataplane.umem_mib);
    emit(out, "hash_rekey", to_text(dataplane.hash_rekey));
    out << YAML::EndMap;
}

void emit_target(YAML::Emitter& out, const Target& target) {
    if (const auto* netns = std::get_if<NetnsPath>(&target))
        emit(out, "netns", netns->path);
    else if (const auto* process = std::get_if<NetnsPid>(&target))
        emit(out, "pid", static_cast<uint32_t>(process->pid));
    else
        emit_list(out, "command", std::get<NetnsCommand>(target).argv);
}

void emit_addressing(YAML::Emitter& out, const NamespaceConfig& ns) {
    emit_texts(out, "addresses", ns.addresses, "auto");
    emit_pair(out, "gateway", ns.gateway, "auto");
    emit_pair(out, "outbound", ns.outbound, "auto");
    emit(out, "mac", to_text(ns.mac));
    emit(out, "ns_mac", ns.ns_mac ? to_text(*ns.ns_mac) : "auto");
    if (ns.map_host_loopback)
        emit_pair(out, "map_host_loopback", *ns.map_host_loopback, "none");
    else
        emit(out, "map_host_loopback", "gateway");
    emit_pair(out, "map_guest_addr", ns.map_guest_addr, "none");
}

void emit_naming(YAML::Emitter& out, const NamespaceConfig& ns) {
    emit_pair(out, "dns_forward", ns.dns_forward, "none");
    emit_pair(out, "dns_host", ns.dns_host, "auto");
    emit_announced(out, "dns", ns.dns);
    emit_announced(out, "search", ns.search);
    emit(out, "hostname", ns.hostname.empty() ? "none" : ns.hostname);
    emit(out, "fqdn", ns.fqdn.empty() ? "none" : ns.fqdn);
}

void emit_forward(YAML::Emitter& out, const ForwardConfig& forward) {
    out << YAML::Key << "forward" << YAML::Value << YAML::BeginMap;
    for (const ForwardList& list : forward_lists) {
        std::vector<std::string> specs;
        for (const ForwardRule& rule : forward.*list.rules)
            specs.push_back(to_text(rule.spec));
        emit_list(out, list.key, specs);
    }
    out << YAML::EndMap;
}

void emit_namespace(YAML::Emitter& out, const NamespaceConfig& ns) {
    out << YAML::BeginMap;
    emit(out, "name", ns.name);
    emit_target(out, ns.target);
    emit(out, "interface", ns.interface.value_or("auto"));
    emit(out, "mtu", ns.mtu);
    emit(out, "configure", to_text(ns.configure));
    emit(out, "queues", to_text(ns.queues));
    emit_addressing(out, ns);
    emit_naming(out, ns);
    std::vector<std::string> disabled;
    for (const Switch& each : switches)
        if (!(ns.*each.on)) disabled.emplace_back(each.name);
    emit_list(out, "disable", disabled);
    emit_forward(out, ns.forward);
    out << YAML::EndMap;
}

}  // namespace

std::string to_yaml(const Config& config) {
    YAML::Emitter out;
    out << YAML::BeginMap;
    emit_dataplane(out, config.dataplane);
    out << YAML::Key << "host" << YAML::Value << YAML::BeginMap;
    emit(out, "interface", config.host.interface.value_or("auto"));
    out << YAML::EndMap << YAML::Key << "namespaces" << YAML::Value;
    if (config.namespaces.empty()) out << YAML::Flow;
    out << YAML::BeginSeq;
    for (const NamespaceConfig& ns : config.namespaces)
        emit_namespace(out, ns);
    out << YAML::EndSeq << YAML::EndMap;
    return std::string{out.c_str()} + "\n";
}

}  // namespace pasta::control
