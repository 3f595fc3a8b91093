// Bounds-checked big-endian access to bytes. Untrusted input is read through Reader only.
#pragma once

#include <cassert>
#include <cstdint>
#include <cstring>
#include <span>

namespace pasta::wire {

using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

/// Unchecked big-endian loads and stores for offsets that were checked before.
inline uint16_t load_be16(const uint8_t* p) {
    return static_cast<uint16_t>(p[0] << 8 | p[1]);
}
inline uint32_t load_be32(const uint8_t* p) {
    return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}
inline void store_be16(uint8_t* p, uint16_t v) {
    p[0] = static_cast<uint8_t>(v >> 8);
    p[1] = static_cast<uint8_t>(v);
}
inline void store_be32(uint8_t* p, uint32_t v) {
    store_be16(p, static_cast<uint16_t>(v >> 16));
    store_be16(p + 2, static_cast<uint16_t>(v));
}

/// Reads fields one after the other. A read past the end returns zeros (or an empty span), leaves
/// the position at the end and makes ok() false for good, so that a parser checks once.
class Reader {
  public:
    explicit Reader(Bytes bytes) : bytes_(bytes) {}

    bool ok() const { return ok_; }
    size_t position() const { return position_; }
    size_t remaining() const { return bytes_.size() - position_; }

    uint8_t u8() { return take(1) ? bytes_[position_ - 1] : uint8_t{0}; }
    uint16_t be16() { return take(2) ? load_be16(&bytes_[position_ - 2]) : uint16_t{0}; }
    uint32_t be32() { return take(4) ? load_be32(&bytes_[position_ - 4]) : 0; }
    /// The next n bytes, not copied; empty when there are fewer.
    Bytes bytes(size_t n) { return take(n) ? bytes_.subspan(position_ - n, n) : Bytes{}; }
    /// All that is left.
    Bytes rest() { return bytes(remaining()); }
    void skip(size_t n) { take(n); }

  private:
    bool take(size_t n) {
        if (n > remaining()) {
            position_ = bytes_.size();
            ok_ = false;
            return false;
        }
        position_ += n;
        return true;
    }

    Bytes bytes_;
    size_t position_ = 0;
    bool ok_ = true;
};

/// Writes fields one after the other into memory owned by the caller. Room is a precondition for
/// fixed-size headers; for lists of options use ok(), which turns false at the first write that
/// does not fit (that write and all later ones change nothing).
class Writer {
  public:
    explicit Writer(MutableBytes bytes) : bytes_(bytes) {}

    bool ok() const { return ok_; }
    size_t position() const { return position_; }
    size_t remaining() const { return bytes_.size() - position_; }
    MutableBytes written() const { return bytes_.first(position_); }

    void u8(uint8_t v) {
        if (take(1)) bytes_[position_ - 1] = v;
    }
    void be16(uint16_t v) {
        if (take(2)) store_be16(&bytes_[position_ - 2], v);
    }
    void be32(uint32_t v) {
        if (take(4)) store_be32(&bytes_[position_ - 4], v);
    }
    void bytes(Bytes v) {
        if (take(v.size()) && !v.empty())
            std::memcpy(&bytes_[position_ - v.size()], v.data(), v.size());
    }
    void zeros(size_t n) {
        if (take(n) && n != 0) std::memset(&bytes_[position_ - n], 0, n);
    }

  private:
    bool take(size_t n) {
        if (!ok_ || n > remaining()) {
            ok_ = false;
            return false;
        }
        position_ += n;
        return true;
    }

    MutableBytes bytes_;
    size_t position_ = 0;
    bool ok_ = true;
};

}  // namespace pasta::wire
