// The outcome of parsing where the reason of a failure is counted.
#pragma once

#include <cassert>
#include <cstdint>
#include <variant>

namespace pasta::wire {

enum class ParseError : uint8_t {
    truncated,          ///< the bytes end before what the headers announce
    bad_version,        ///< not the version of IP that the ethertype says
    bad_length,         ///< a length that contradicts itself or another one
    bad_checksum,       ///< of the IPv4 header
    extension_chain,    ///< IPv6 extension headers too many, out of order or running over
    bad_address,        ///< an IPv4-mapped address in an IPv6 header
    unknown_ethertype,  ///< neither IPv4 nor IPv6
};

/// A T, or why there is none.
template <class T>
class ParseResult {
  public:
    ParseResult(const T& value) : content_(value) {}
    ParseResult(ParseError error) : content_(error) {}

    explicit operator bool() const { return content_.index() == 0; }
    const T& operator*() const { return *std::get_if<T>(&content_); }
    const T* operator->() const { return std::get_if<T>(&content_); }
    /// Only when there is no value.
    ParseError error() const {
        assert(!*this);
        return *std::get_if<ParseError>(&content_);
    }

  private:
    std::variant<T, ParseError> content_;
};

}  // namespace pasta::wire
