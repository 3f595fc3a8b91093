// Packets cut into fragments, as a sender or a router would do it, or as no honest one would.
#pragma once

#include <algorithm>
#include <vector>

#include "dataplane/wire/bytes.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/ipv6.hpp"

namespace pasta::test {

/// A place in the fragmentable part of a packet.
struct Cut {
    size_t offset = 0;
    size_t length = 0;
    bool more = false;
    bool operator==(const Cut&) const = default;
};

/// Cuts one whole frame: Ethernet, an IP header, for IPv6 `extension` bytes of headers that come
/// before the fragment header (the last one announces what follows at `announced_at`), and data.
struct Cutter {
    std::vector<uint8_t> whole;
    uint32_t id = 7;
    size_t extension = 0;
    size_t announced_at = 6;  ///< from the start of the IPv6 header

    bool is_v4() const { return whole[14] >> 4 == 4; }
    size_t headers() const {
        return 14 + (is_v4() ? wire::Ipv4Header::size : wire::Ipv6Header::size) + extension;
    }
    size_t data_length() const { return whole.size() - headers(); }

    /// The frame that reassembly shall make: the whole one, with the id of the fragments in IPv4.
    std::vector<uint8_t> expected() const {
        auto frame = whole;
        if (is_v4()) emit_v4(frame, {0, data_length(), false});
        return frame;
    }
    /// The fragment with the data at `cut`, zeros where the packet has none.
    std::vector<uint8_t> fragment(const Cut& cut) const {
        std::vector<uint8_t> frame(whole.begin(), whole.begin() + static_cast<long>(headers()));
        if (is_v4()) {
            emit_v4(frame, cut);
        } else {
            const uint8_t next = std::exchange(frame[14 + announced_at], wire::protocol_fragment);
            frame.resize(frame.size() + 8);
            uint8_t* header = &frame[frame.size() - 8];
            header[0] = next;
            wire::store_be16(header + 2, static_cast<uint16_t>(cut.offset | (cut.more ? 1 : 0)));
            wire::store_be32(header + 4, id);
            wire::store_be16(&frame[14 + 4], static_cast<uint16_t>(extension + 8 + cut.length));
        }
        const size_t start = std::min(whole.size(), headers() + cut.offset);
        const size_t end = std::min(whole.size(), start + cut.length);
        const size_t size = frame.size() + cut.length;
        frame.insert(frame.end(), whole.begin() + static_cast<long>(start),
                     whole.begin() + static_cast<long>(end));
        frame.resize(size);
        return frame;
    }
    /// Cuts into pieces of `size` bytes, a multiple of 8, the last one as long as need be.
    std::vector<Cut> pieces(size_t size) const {
        std::vector<Cut> cuts;
        for (size_t at = 0; at < data_length(); at += size)
            cuts.push_back({at, std::min(size, data_length() - at), at + size < data_length()});
        return cuts;
    }

  private:
    void emit_v4(std::vector<uint8_t>& frame, const Cut& cut) const {
        const wire::MutableBytes bytes = wire::MutableBytes{frame}.subspan(14);
        auto header = *wire::Ipv4Header::parse(wire::Bytes{whole}.subspan(14), whole.size() - 14);
        header.id = static_cast<uint16_t>(id);
        header.dont_fragment = false;
        header.more_fragments = cut.more;
        header.fragment_offset = static_cast<uint16_t>(cut.offset);
        header.total_length = static_cast<uint16_t>(wire::Ipv4Header::size + cut.length);
        header.emit(bytes);
    }
};

}  // namespace pasta::test
