#include "control/dataplane_listeners.hpp"

#include <utility>

namespace pasta::control {

ListenerId DataplaneListeners::listen(const ListenerConfig&, io::UniqueFd socket) {
    sockets_.emplace(next_, std::move(socket));
    return next_++;
}

void DataplaneListeners::unlisten(ListenerId id) {
    sockets_.erase(id);
}

}  // namespace pasta::control
