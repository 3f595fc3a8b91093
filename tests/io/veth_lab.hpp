// A guest namespace behind a veth pair, for tests with the real kernel. Needs root and a kernel
// with multi-buffer AF_XDP; what is missing throws, and so fails the test.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include "control/link.hpp"
#include "control/namespace.hpp"
#include "dataplane/core/chunk.hpp"
#include "dataplane/core/tx_queue.hpp"
#include "dataplane/io/chunk_ring.hpp"
#include "dataplane/io/umem.hpp"
#include "dataplane/io/xsk_port.hpp"
#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/udp.hpp"

namespace pasta::testing {

using Frame = std::vector<uint8_t>;

/// IEEE 802 local experimental ethertype 1: nothing else on the link uses it.
inline constexpr uint16_t test_ethertype = 0x88b5;
/// Only ends a test that hangs; nothing takes nearly as long.
inline constexpr int patience_ms = 10000;

inline const wire::IpAddress guest_address = wire::IpAddress::v4(198, 51, 100, 1);
inline const wire::IpAddress world_address = wire::IpAddress::v4(203, 0, 113, 9);

inline Frame pattern(size_t length, uint32_t seed) {
    Frame bytes(length);
    uint32_t state = seed * 2654435761U + 1;
    for (uint8_t& byte : bytes) {
        state = state * 1664525U + 1013904223U;
        byte = static_cast<uint8_t>(state >> 24);
    }
    return bytes;
}

/// Waits until the descriptor is readable; false when patience ended first.
inline bool wait_readable(int fd) {
    pollfd waiting{fd, POLLIN, 0};
    return poll(&waiting, 1, patience_ms) == 1;
}

/// One guest, its link, and an AF_PACKET socket to send raw frames in it.
class Guest {
  public:
    Guest(const control::Netns& private_netns, const std::string& name, uint32_t queues)
        : netns_(control::Netns::create_private()),
          link_(private_netns, netns_,
                {.name = name, .peer_name = "eth0", .queues = queues, .mac = {}, .peer_mac = {}}) {
        const auto warnings =
            control::configure_interface(netns_, {"eth0", {{guest_address, 24}}, {}, true});
        EXPECT_TRUE(warnings.empty()) << warnings.front();
        control::run_in_netns(netns_, [&] { open_packet_socket(); });
    }

    const control::Netns& netns() const { return netns_; }
    control::VethLink& link() { return link_; }

    Frame frame(size_t length, uint32_t seed) const {
        Frame bytes = pattern(length, seed);
        wire::EthernetHeader{link_.mac(), link_.peer_mac(), test_ethertype}.emit(bytes);
        return bytes;
    }
    void send(const Frame& frame) {
        ASSERT_EQ(::send(packet_.get(), frame.data(), frame.size(), 0),
                  static_cast<ssize_t>(frame.size()))
            << std::strerror(errno);
    }
    /// A UDP socket bound to the guest's address and the port.
    io::UniqueFd udp_socket(uint16_t port) {
        return control::run_in_netns(netns_, [&] {
            io::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
            const int room = 8 << 20;
            setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
            sockaddr_in address{};
            address.sin_family = AF_INET;
            address.sin_port = htons(port);
            if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
                throw std::system_error(errno, std::generic_category(), "bind");
            return fd;
        });
    }
    /// A counter of the line "Udp:" in /proc/net/snmp.
    uint64_t udp_counter(const std::string& name) {
        return control::run_in_netns(netns_, [&]() -> uint64_t {
            std::ifstream file("/proc/thread-self/net/snmp");
            std::string line, key, value;
            std::vector<std::string> names;
            while (std::getline(file, line)) {
                if (!line.starts_with("Udp:")) continue;
                std::istringstream words(line);
                if (names.empty()) {
                    while (words >> key)
                        names.push_back(key);
                    continue;
                }
                for (size_t i = 0; words >> value; ++i)
                    if (names[i] == name) return std::stoull(value);
            }
            throw std::runtime_error("no counter " + name);
        });
    }

  private:
    void open_packet_socket() {
        packet_.reset(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
        const int room = 8 << 20;
        setsockopt(packet_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_ifindex = static_cast<int>(if_nametoindex("eth0"));
        if (!packet_ ||
            bind(packet_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
            throw std::system_error(errno, std::generic_category(), "AF_PACKET socket");
    }

    control::Netns netns_;
    control::VethLink link_;
    io::UniqueFd packet_;
};

/// The daemon's side: private namespace, one UMEM, its free chunks, and one cache.
class Lab {
  public:
    static constexpr size_t default_bytes = 32 << 20;

    explicit Lab(size_t umem_bytes = default_bytes,
                 io::Umem::TxMetadata metadata = io::Umem::TxMetadata::if_supported)
        : private_netns(control::Netns::create_private()),
          umem(control::run_in_netns(
              private_netns, [&] { return std::make_unique<io::Umem>(umem_bytes, metadata); })),
          free_chunks(umem->size()),
          cache(umem->arena(), free_chunks) {}

    std::unique_ptr<Guest> guest(const std::string& name, uint32_t queues = 1) {
        return std::make_unique<Guest>(private_netns, name, queues);
    }
    std::unique_ptr<io::XskPort> port(Guest& guest, uint32_t queue = 0,
                                      const io::XskPortOptions& options = {}) {
        auto made = guest.link().open_port(*umem, queue, options);
        made->bind_cache(cache);
        return made;
    }
    /// Copies a received frame and gives its chunks back.
    Frame consume(core::Chain& chain) {
        Frame bytes;
        for (core::ChunkId id = chain.head; id != core::no_chunk;
             id = umem->arena().meta(id).next) {
            const auto piece = umem->arena().bytes(id);
            bytes.insert(bytes.end(), piece.begin(), piece.end());
        }
        EXPECT_EQ(bytes.size(), chain.bytes);
        cache.unref(chain);
        return bytes;
    }
    /// Waits for `count` test frames; fewer when patience ends. Other frames are passed over.
    std::vector<Frame> receive(io::XskPort& port, size_t count, size_t burst = 64) {
        std::vector<Frame> frames;
        std::vector<core::Chain> chains(burst);
        while (frames.size() < count) {
            const size_t got = port.receive(chains);
            for (size_t i = 0; i < got; ++i) {
                Frame frame = consume(chains[i]);
                if (frame.size() >= 14 && wire::load_be16(&frame[12]) == test_ethertype)
                    frames.push_back(std::move(frame));
            }
            if (got == 0 && !wait_readable(port.wait_fd())) break;
        }
        return frames;
    }
    /// Chunks in caches, rings and ports' rings when nothing else holds any.
    size_t accounted(std::initializer_list<const io::XskPort*> ports = {}) {
        size_t sum = free_chunks.available() + cache.stock();
        for (const io::XskPort* port : ports)
            sum += port->chunks_in_rings();
        return sum;
    }

    control::Netns private_netns;
    std::unique_ptr<io::Umem> umem;
    io::ChunkRing free_chunks;
    core::ChunkCache cache;
};

/// A UDP datagram from the world to the guest as a frame: headers and the first bytes in one chunk,
/// the rest in further ones, cut at `piece` bytes. The checksum field has the pseudo-header sum.
inline std::vector<core::Slice> udp_frame(Lab& lab, Guest& guest, uint16_t port,
                                          const Frame& payload, size_t piece = 4000) {
    constexpr size_t ip_at = wire::EthernetHeader::size, udp_at = ip_at + wire::Ipv4Header::size;
    constexpr size_t headers = udp_at + wire::UdpHeader::size;
    const auto udp_length = static_cast<uint16_t>(wire::UdpHeader::size + payload.size());
    Frame bytes(headers);
    wire::EthernetHeader{guest.link().peer_mac(), guest.link().mac(), wire::ethertype_ipv4}.emit(
        bytes);
    wire::Ipv4Header ip;
    ip.src = world_address;
    ip.dst = guest_address;
    ip.protocol = IPPROTO_UDP;
    ip.total_length = static_cast<uint16_t>(wire::Ipv4Header::size + udp_length);
    ip.emit(std::span{bytes}.subspan(ip_at));
    const uint16_t pseudo = wire::checksum_fold(
        wire::pseudo_header_sum(world_address, guest_address, IPPROTO_UDP, udp_length));
    wire::UdpHeader{53, port, udp_length, pseudo}.emit(std::span{bytes}.subspan(udp_at));
    bytes.insert(bytes.end(), payload.begin(), payload.end());

    std::vector<core::Slice> slices;
    for (size_t at = 0; at < bytes.size();) {
        const auto length = static_cast<uint16_t>(
            std::min(bytes.size() - at, at == 0 ? std::max(piece, headers) : piece));
        const core::Slice slice{lab.cache.alloc(), core::tx_metadata_size, length};
        std::memcpy(lab.umem->arena().bytes(slice).data(), &bytes[at], length);
        slices.push_back(slice);
        at += length;
    }
    return slices;
}

inline constexpr uint16_t udp_csum_start = wire::EthernetHeader::size + wire::Ipv4Header::size;

/// The next datagram; nothing when patience ended.
inline Frame receive_datagram(int fd) {
    Frame bytes(65536);
    if (!wait_readable(fd)) {
        ADD_FAILURE() << "no datagram came";
        return {};
    }
    const ssize_t got = recv(fd, bytes.data(), bytes.size(), 0);
    EXPECT_GE(got, 0);
    bytes.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return bytes;
}

}  // namespace pasta::testing
