#include "control/dataplane_listeners.hpp"

#include <utility>

namespace pasta::control {

ListenerId DataplaneListeners::listen(const ListenerConfig& config, io::UniqueFd socket) {
    const auto side = config.side == ListenOn::host ? host::ListenSide::host : host::ListenSide::ns;
    return dataplane_->listen({config.port, side, config.protocol, config.target_port},
                              std::move(socket));
}

void DataplaneListeners::unlisten(ListenerId id) {
    dataplane_->unlisten(id);
}

}  // namespace pasta::control
