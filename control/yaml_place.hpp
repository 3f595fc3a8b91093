// A YAML node together with where it stands, so that every complaint can say so.
#pragma once

#include <yaml-cpp/yaml.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/value_syntax.hpp"

namespace pasta::control {

/// The line of a mark, counted from 1.
int line_number(const YAML::Mark& mark);

class YamlPlace {
  public:
    /// The top of the document in `file`.
    YamlPlace(std::string file, const YAML::Node& root)
        : file_(std::move(file)), node_(root), mark_(root.Mark()) {}

    const YAML::Node& node() const { return node_; }
    bool is_scalar() const { return node_.IsScalar(); }
    /// True for the plain or quoted text `keyword`.
    bool is(std::string_view keyword) const { return is_scalar() && node_.Scalar() == keyword; }

    /// FILE:LINE: KEY, or FILE:LINE at the top.
    std::string where() const { return where(mark_, key_); }
    /// Throws ConfigError: FILE:LINE: KEY: problem.
    [[noreturn]] void fail(std::string_view problem) const;
    /// fail() for a key of this map: with that key's line, or the map's if it has no such key.
    [[noreturn]] void fail_at(std::string_view key, std::string_view problem) const;

    /// The text of a scalar; fails for lists, maps and nothing.
    std::string text(std::string_view allowed) const;

    /// The value of a scalar.
    template <typename T>
    T value(const ValueSyntax<T>& syntax) const {
        return checked([&] { return syntax(text(syntax.words())); });
    }
    /// The value of a scalar, or nothing for the keyword that means "unset".
    template <typename T>
    std::optional<T> value_unless(std::string_view keyword, const ValueSyntax<T>& syntax) const {
        return checked(
            [&] { return control::value_unless(keyword, syntax, text(syntax.words(keyword))); });
    }

    using Handler = std::function<void(const YamlPlace&)>;

    /// Calls `handler` for each entry of a list; `allowed` says what a list holds.
    void for_each(std::string_view allowed, const Handler& handler) const;
    /// Calls `take` with the value of a single scalar, or with each value of a list that is not
    /// empty, and its place. `keywords` are the words that the caller takes besides, for messages.
    template <typename T, typename Take>
    void each_value(std::string_view keywords, const ValueSyntax<T>& syntax, Take take) const {
        if (!node_.IsSequence()) {
            const std::string one = text(syntax.words(keywords));
            checked([&] { take(*this, syntax(one, keywords)); });
            return;
        }
        if (node_.size() == 0) fail(not_allowed("an empty list", syntax.words(keywords)));
        for_each(syntax.allowed, [&](const YamlPlace& entry) { take(entry, entry.value(syntax)); });
    }

    /// Calls for each key of a map the handler that stands beside it. Fails for unknown keys and
    /// for keys that are given twice.
    using Keys = std::vector<std::pair<std::string_view, Handler>>;
    void read_map(const Keys& keys) const;

    /// Runs `read` and turns its ValueError into fail().
    template <typename Read>
    auto checked(Read read) const {
        try {
            return read();
        } catch (const ValueError& error) {
            fail(error.what());
        }
    }

  private:
    YamlPlace(const YamlPlace& parent, std::string key, const YAML::Node& node,
              const YAML::Mark& mark)
        : file_(parent.file_), key_(std::move(key)), node_(node), mark_(mark) {}

    std::string child_key(std::string_view name) const;
    std::string where(const YAML::Mark& mark, std::string_view key) const;
    [[noreturn]] void fail_on_line(const YAML::Mark& mark, std::string_view key,
                                   std::string_view problem) const;
    const char* kind() const;

    std::string file_;
    std::string key_;  ///< for example namespaces[0].mtu; empty at the top
    YAML::Node node_;
    YAML::Mark mark_;  ///< of the key in front of the node, if there is one
};

}  // namespace pasta::control
