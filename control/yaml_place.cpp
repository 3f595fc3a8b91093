#include "control/yaml_place.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace pasta::control {

namespace {

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours
/// that turn one word into the other.
size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
    for (size_t i = 0; i <= a.size(); ++i) {
        for (size_t j = 0; j <= b.size(); ++j) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            const size_t substituted = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, substituted});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[a.size()][b.size()];
}

std::string unknown_key(std::string_view name, const YamlPlace::Keys& keys) {
    const auto distance = [&](const auto& key) { return edit_distance(name, key.first); };
    const auto nearest = std::ranges::min_element(keys, {}, distance);
    if (distance(*nearest) <= (nearest->first.size() < 5 ? 1u : 2u))
        return fmt::format("unknown key (did you mean {}?)", nearest->first);
    std::vector<std::string_view> names;
    for (const auto& key : keys)
        names.push_back(key.first);
    return fmt::format("unknown key (one of {})", fmt::join(names, ", "));
}

}  // namespace

int line_number(const YAML::Mark& mark) {
    return std::max(mark.line, 0) + 1;  // an empty document has no mark
}

std::string YamlPlace::where(const YAML::Mark& mark, std::string_view key) const {
    return fmt::format("{}:{}{}{}", file_, line_number(mark), key.empty() ? "" : ": ", key);
}

void YamlPlace::fail_on_line(const YAML::Mark& mark, std::string_view key,
                             std::string_view problem) const {
    throw ConfigError(fmt::format("{}: {}", where(mark, key), problem));
}

void YamlPlace::fail(std::string_view problem) const {
    fail_on_line(mark_, key_, problem);
}

void YamlPlace::fail_at(std::string_view key, std::string_view problem) const {
    for (const auto& entry : node_)
        if (entry.first.Scalar() == key) fail_on_line(entry.first.Mark(), child_key(key), problem);
    fail(problem);
}

const char* YamlPlace::kind() const {
    if (node_.IsSequence()) return "a list";
    if (node_.IsMap()) return "a map";
    return node_.IsScalar() ? "a single value" : "an empty value";
}

std::string YamlPlace::text(std::string_view allowed) const {
    if (!is_scalar()) fail(not_allowed(kind(), allowed));
    return node_.Scalar();
}

void YamlPlace::for_each(std::string_view allowed, const Handler& handler) const {
    if (!node_.IsSequence()) fail(not_allowed(kind(), fmt::format("a list of {}", allowed)));
    for (size_t i = 0; i < node_.size(); ++i)
        handler({*this, fmt::format("{}[{}]", key_, i), node_[i], node_[i].Mark()});
}

std::string YamlPlace::child_key(std::string_view name) const {
    return key_.empty() ? std::string{name} : fmt::format("{}.{}", key_, name);
}

void YamlPlace::read_map(const Keys& keys) const {
    if (!node_.IsMap()) {
        std::vector<std::string_view> names;
        for (const auto& key : keys)
            names.push_back(key.first);
        fail(not_allowed(kind(), fmt::format("a map with keys {}", fmt::join(names, ", "))));
    }
    std::set<std::string> seen;
    for (const auto& entry : node_) {
        if (!entry.first.IsScalar())
            fail_on_line(entry.first.Mark(), key_, "a key is not a word (keys are words)");
        const std::string name = entry.first.Scalar();
        const YamlPlace place{*this, child_key(name), entry.second, entry.first.Mark()};
        const auto known = std::ranges::find(keys, name, [](const auto& key) { return key.first; });
        if (known == keys.end()) place.fail(unknown_key(name, keys));
        if (!seen.insert(name).second) place.fail("given twice (each key once)");
        known->second(place);
    }
}

}  // namespace pasta::control
