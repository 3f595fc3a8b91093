// IP packets towards a namespace whose upper layer is a chain of chunks.
#pragma once

#include "dataplane/core/frame_builder.hpp"

namespace pasta::core {

/// Who computes the upper layer's checksum.
enum class Checksum : uint8_t {
    offload,  ///< the device, when the packet goes out in one frame
    here,     ///< this function: for protocols whose receivers look at the field themselves
};

/// Queues one IP packet, taking over `upper`, its upper layer. The first chunk has room for the
/// headers: envelope_size() and tx_metadata_size bytes before its data. The checksum field, at
/// `csum_offset` in the first chunk's data, holds the folded, not inverted sum of the pseudo-header
/// (or 0 where there is none). A packet larger than the port's MTU is sent as IP fragments with
/// `identification`. Counted drop when the queue has no room or chunks ran out.
void send_ip_packet(Context& context, Port& port, const Envelope& envelope, Chain upper,
                    uint16_t csum_offset, Checksum checksum, uint32_t identification);

}  // namespace pasta::core
