// Listeners without a dataplane, and namespaces to have them in. Needs root.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "control/namespace.hpp"
#include "control/port_listeners.hpp"

namespace pasta::control {

/// Holds sockets and remembers what they are for.
class FakeListeners : public PortListeners {
  public:
    ListenerId listen(const ListenerConfig& config, io::UniqueFd socket) override {
        listeners.emplace(next_, std::pair{config, std::move(socket)});
        return next_++;
    }
    void unlisten(ListenerId id) override { EXPECT_EQ(listeners.erase(id), 1U); }

    std::map<ListenerId, std::pair<ListenerConfig, io::UniqueFd>> listeners;

  private:
    ListenerId next_ = 0;
};

/// With a loopback of both families, and few ephemeral ports.
inline Netns testing_netns() {
    Netns netns = Netns::create_private();
    run_in_netns(netns, [] {
        EXPECT_TRUE(write_sysctl("net/ipv6/conf/lo/disable_ipv6", "0"));
        EXPECT_TRUE(write_sysctl("net/ipv4/ip_local_port_range", "1100 65535"));
    });
    return netns;
}

}  // namespace pasta::control
