#include "control/dataplane_listeners.hpp"

#include <utility>

namespace pasta::control {

ListenerId DataplaneListeners::listen(const ListenerConfig& config, io::UniqueFd socket) {
    return dataplane_->listen(config, std::move(socket));
}

void DataplaneListeners::unlisten(ListenerId id) {
    dataplane_->unlisten(id);
}

}  // namespace pasta::control
