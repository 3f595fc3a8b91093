#include "dataplane/wire/dns_name.hpp"

#include <array>

namespace pasta::wire {
namespace {

constexpr size_t max_label = 63;
constexpr size_t max_name = 255;
constexpr uint16_t pointer_bits = 0xc000;
constexpr size_t max_pointer = 0x3fff;

/// Takes the first label and its dot off `name`.
std::string_view take_label(std::string_view& name) {
    const size_t dot = name.find('.');
    const std::string_view label = name.substr(0, dot);
    name = dot == std::string_view::npos ? std::string_view{} : name.substr(dot + 1);
    return label;
}

void emit_label(Writer& out, std::string_view label) {
    out.u8(static_cast<uint8_t>(label.size()));
    out.bytes({reinterpret_cast<const uint8_t*>(label.data()), label.size()});
}

/// Endings of the names written so far, and where each of them stands.
class Endings {
  public:
    /// Offset of an equal ending, or -1.
    int find(std::string_view ending) const {
        for (size_t i = 0; i < count_; ++i)
            if (entries_[i].ending == ending) return entries_[i].offset;
        return -1;
    }
    /// Forgets it when the table is full: then later names are merely longer.
    void add(std::string_view ending, size_t offset) {
        if (count_ == entries_.size() || offset > max_pointer) return;
        entries_[count_++] = {ending, static_cast<uint16_t>(offset)};
    }

  private:
    struct Entry {
        std::string_view ending;
        uint16_t offset = 0;
    };
    std::array<Entry, 64> entries_;
    size_t count_ = 0;
};

bool writable(const Writer& out, std::string_view name) {
    return is_valid_dns_name(name) && out.remaining() >= name.size() + 2;
}

}  // namespace

bool is_valid_dns_name(std::string_view name) {
    if (name.empty() || name.back() == '.' || name.size() + 2 > max_name) return false;
    while (!name.empty()) {
        const size_t length = take_label(name).size();
        if (length == 0 || length > max_label) return false;
    }
    return true;
}

void emit_dns_name(Writer& out, std::string_view name) {
    while (!name.empty())
        emit_label(out, take_label(name));
    out.u8(0);
}

void emit_dns_names(Writer& out, std::span<const std::string> names) {
    for (const std::string& name : names)
        if (writable(out, name)) emit_dns_name(out, name);
}

void emit_compressed_dns_names(Writer& out, std::span<const std::string> names) {
    assert(out.position() == 0);
    Endings endings;
    for (const std::string& name : names) {
        if (!writable(out, name)) continue;
        std::string_view rest = name;
        int known = -1;
        while (!rest.empty() && (known = endings.find(rest)) < 0) {
            endings.add(rest, out.position());
            emit_label(out, take_label(rest));
        }
        if (rest.empty())
            out.u8(0);
        else
            out.be16(static_cast<uint16_t>(pointer_bits | known));
    }
}

}  // namespace pasta::wire
