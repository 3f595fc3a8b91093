#include "dataplane/wire/tcp.hpp"

#include <algorithm>

namespace pasta::wire {
namespace {

enum Option : uint8_t {
    end_of_options = 0,
    no_operation = 1,
    maximum_segment_size = 2,
    window_scale_shift = 3,
    sack_permitted_flag = 4,
    sack = 5,
    timestamps_pair = 8,
};

void parse_sack(TcpHeader& header, Reader body) {
    header.sack_count = 0;
    while (body.remaining() >= 8 && header.sack_count < header.sack_blocks.size()) {
        SackBlock& block = header.sack_blocks[header.sack_count++];
        block.left = body.be32();
        block.right = body.be32();
    }
}

void parse_option(TcpHeader& header, uint8_t kind, Bytes bytes) {
    Reader body(bytes);
    if (kind == maximum_segment_size && bytes.size() == 2) {
        header.mss = body.be16();
    } else if (kind == window_scale_shift && bytes.size() == 1) {
        header.window_scale = std::min(body.u8(), tcp_max_window_scale);
    } else if (kind == sack_permitted_flag && bytes.empty()) {
        header.sack_permitted = true;
    } else if (kind == timestamps_pair && bytes.size() == 8) {
        header.timestamps.emplace();
        header.timestamps->value = body.be32();
        header.timestamps->echo = body.be32();
    } else if (kind == sack && bytes.size() % 8 == 0) {
        parse_sack(header, body);
    }
}

void parse_options(TcpHeader& header, Reader options) {
    while (options.remaining() != 0) {
        const uint8_t kind = options.u8();
        if (kind == end_of_options) return;
        if (kind == no_operation) continue;
        const uint8_t length = options.u8();  // of kind, length and body
        if (length < 2) return;
        const Bytes body = options.bytes(length - 2u);
        if (!options.ok()) return;
        parse_option(header, kind, body);
    }
}

size_t size_without_sack(const TcpHeader& header) {
    size_t size = TcpHeader::min_size;
    if (header.mss) size += 4;
    if (header.timestamps) size += 12;
    if (header.sack_permitted && !header.timestamps) size += 4;
    if (header.window_scale) size += 4;
    return size;
}

size_t sack_blocks_that_fit(const TcpHeader& header, size_t size) {
    if (header.sack_count == 0 || size + 4 > TcpHeader::max_size) return 0;
    return std::min<size_t>(header.sack_count, (TcpHeader::max_size - size - 4) / 8);
}

void emit_options(const TcpHeader& header, size_t sack_blocks, Writer& out) {
    const auto option = [&out](uint8_t kind, uint8_t length) {
        out.u8(kind);
        out.u8(length);
    };
    const auto pad = [&out](int n) {
        while (n-- > 0)
            out.u8(no_operation);
    };
    if (header.mss) {
        option(maximum_segment_size, 4);
        out.be16(*header.mss);
    }
    if (header.sack_permitted) {
        if (!header.timestamps) pad(2);
        option(sack_permitted_flag, 2);
    }
    if (header.timestamps) {
        if (!header.sack_permitted) pad(2);
        option(timestamps_pair, 10);
        out.be32(header.timestamps->value);
        out.be32(header.timestamps->echo);
    }
    if (header.window_scale) {
        pad(1);
        option(window_scale_shift, 3);
        out.u8(*header.window_scale);
    }
    if (sack_blocks != 0) {
        pad(2);
        option(sack, static_cast<uint8_t>(2 + 8 * sack_blocks));
        for (size_t i = 0; i < sack_blocks; ++i) {
            out.be32(header.sack_blocks[i].left);
            out.be32(header.sack_blocks[i].right);
        }
    }
}

}  // namespace

std::optional<TcpHeader> TcpHeader::parse(Bytes bytes) {
    if (bytes.size() < min_size) return std::nullopt;
    const uint8_t* p = bytes.data();
    TcpHeader header;
    header.src_port = load_be16(p);
    header.dst_port = load_be16(p + 2);
    header.seq = load_be32(p + 4);
    header.ack = load_be32(p + 8);
    header.header_length = static_cast<uint8_t>((p[12] >> 4) * 4);
    header.flags = p[13];
    header.window = load_be16(p + 14);
    header.checksum = load_be16(p + tcp_checksum_offset);
    header.urgent_pointer = load_be16(p + 18);
    if (header.header_length < min_size || bytes.size() < header.header_length) return std::nullopt;
    parse_options(header, Reader(bytes.first(header.header_length).subspan(min_size)));
    return header;
}

size_t tcp_header_size(const TcpHeader& header) {
    const size_t size = size_without_sack(header);
    const size_t blocks = sack_blocks_that_fit(header, size);
    return blocks == 0 ? size : size + 4 + 8 * blocks;
}

void TcpHeader::emit(MutableBytes out) const {
    const size_t size = tcp_header_size(*this);
    assert(out.size() >= size);
    uint8_t* p = out.data();
    store_be16(p, src_port);
    store_be16(p + 2, dst_port);
    store_be32(p + 4, seq);
    store_be32(p + 8, ack);
    p[12] = static_cast<uint8_t>(size / 4 << 4);
    p[13] = flags;
    store_be16(p + 14, window);
    store_be16(p + tcp_checksum_offset, checksum);
    store_be16(p + 18, urgent_pointer);
    Writer options(out.first(size).subspan(min_size));
    emit_options(*this, sack_blocks_that_fit(*this, size_without_sack(*this)), options);
    assert(options.remaining() == 0);
}

}  // namespace pasta::wire
