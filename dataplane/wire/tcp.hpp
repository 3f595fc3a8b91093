// TCP header and options (RFC 9293, 3.1; RFC 7323 window scale and timestamps; RFC 2018 SACK).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/wire/bytes.hpp"
#include "dataplane/wire/seq.hpp"

namespace pasta::wire {

inline constexpr uint8_t tcp_fin = 0x01;
inline constexpr uint8_t tcp_syn = 0x02;
inline constexpr uint8_t tcp_rst = 0x04;
inline constexpr uint8_t tcp_psh = 0x08;
inline constexpr uint8_t tcp_ack = 0x10;
inline constexpr uint8_t tcp_urg = 0x20;
inline constexpr uint8_t tcp_ece = 0x40;
inline constexpr uint8_t tcp_cwr = 0x80;

/// Offset of the checksum field from the start of the header, for checksum offload.
inline constexpr uint16_t tcp_checksum_offset = 16;
/// RFC 7323, 2.3: larger shifts count as this one.
inline constexpr uint8_t tcp_max_window_scale = 14;

/// Received bytes beyond the acknowledgement: left <= seq < right.
struct SackBlock {
    uint32_t left = 0, right = 0;
    bool operator==(const SackBlock&) const = default;
};

struct TcpTimestamps {
    uint32_t value = 0, echo = 0;
    bool operator==(const TcpTimestamps&) const = default;
};

struct TcpHeader {
    /// Without options.
    static constexpr size_t min_size = 20;
    static constexpr size_t max_size = 60;

    uint16_t src_port = 0, dst_port = 0;
    uint32_t seq = 0, ack = 0;
    uint8_t flags = 0;
    uint16_t window = 0;    ///< as on the wire, not scaled
    uint16_t checksum = 0;  ///< as on the wire; emit() writes it as it is, parse() verifies nothing
    uint16_t urgent_pointer = 0;
    uint8_t header_length = min_size;  ///< bytes with options; set by parse(), not read by emit()

    // Options. mss, window_scale and sack_permitted mean something in a SYN only.
    std::optional<uint16_t> mss;          ///< bytes
    std::optional<uint8_t> window_scale;  ///< shift, 0..14
    bool sack_permitted = false;
    std::optional<TcpTimestamps> timestamps;
    std::array<SackBlock, 4> sack_blocks{};
    uint8_t sack_count = 0;

    bool has(uint8_t flag) const { return (flags & flag) != 0; }
    std::span<const SackBlock> sacks() const { return std::span{sack_blocks}.first(sack_count); }

    /// `bytes` begins with the header and holds all of it. Nothing when the bytes or the data
    /// offset are too short. Options that are unknown or of a wrong length are skipped; one whose
    /// length lies (under 2, or past the header) ends the options (RFC 9293, MUST-7).
    static std::optional<TcpHeader> parse(Bytes bytes);
    /// Writes tcp_header_size() bytes to the front of `out`, which has room for them. Options
    /// stand aligned to 4 bytes, in the order that Linux uses. SACK blocks that do not fit (more
    /// than three beside timestamps) are left out.
    void emit(MutableBytes out) const;
};

/// Bytes that emit() writes: 20 to 60, a multiple of 4.
size_t tcp_header_size(const TcpHeader& header);

}  // namespace pasta::wire
