// Bytes written down in hexadecimal, as RFCs and packet dumps print them.
#pragma once

#include <cctype>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pasta::test {

/// "45 00 01" or "450001": pairs of digits; white space anywhere between pairs is ignored.
inline std::vector<uint8_t> hex(std::string_view text) {
    std::vector<uint8_t> bytes;
    std::string digits;
    for (const char c : text)
        if (!std::isspace(static_cast<unsigned char>(c))) digits += c;
    if (digits.size() % 2 != 0) throw std::invalid_argument("odd number of hex digits");
    for (size_t i = 0; i < digits.size(); i += 2)
        bytes.push_back(static_cast<uint8_t>(std::stoi(digits.substr(i, 2), nullptr, 16)));
    return bytes;
}

}  // namespace pasta::test
