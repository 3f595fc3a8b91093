#include "control/forward_config.hpp"

#include <fmt/format.h>

#include <utility>

#include "control/value_syntax.hpp"

namespace pasta::control {

void add_rule(ForwardRules& rules, ForwardRule rule) {
    const auto alone = [](const ForwardRule& each) {
        return each.spec.kind != PortSpec::Kind::list;
    };
    if (!rules.empty() && (alone(rules.front()) || alone(rule)))
        throw ValueError(fmt::format("{} stands alone (no ports beside it)",
                                     to_text(alone(rule) ? rule.spec : rules.front().spec)));
    rules.push_back(std::move(rule));
}

void drop_none(ForwardConfig& forward) {
    for (const ForwardList& list : forward_lists)
        std::erase_if(forward.*list.rules, [](const ForwardRule& rule) {
            return rule.spec.kind == PortSpec::Kind::none;
        });
}

void add_automatic(ForwardConfig& forward, bool tcp, bool udp) {
    for (const ForwardList& list : forward_lists) {
        ForwardRules& rules = forward.*list.rules;
        if (!rules.empty() || !(list.protocol == IPPROTO_TCP ? tcp : udp)) continue;
        rules.push_back(
            {parse_port_spec("auto", list.side), fmt::format("{} auto", list.option())});
    }
}

}  // namespace pasta::control
