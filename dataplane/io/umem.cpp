#include "dataplane/io/umem.hpp"

#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>

#include "dataplane/io/xdp_uapi.hpp"

namespace pasta::io {

static_assert(sizeof(XskTxMetadata) == core::tx_metadata_size);

namespace {

[[noreturn]] void fail(const char* doing) {
    throw std::system_error(errno, std::generic_category(), doing);
}

}  // namespace

Mapping::Mapping(size_t bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("cannot map the UMEM");
    madvise(memory, bytes, MADV_HUGEPAGE);  // fewer TLB misses where the kernel can; advice only
    madvise(memory, bytes, MADV_DONTFORK);  // a child's copy-on-write would part us from the kernel
    bytes_ = {static_cast<uint8_t*>(memory), bytes};
}

Mapping::~Mapping() {
    munmap(bytes_.data(), bytes_.size());
}

Umem::Umem(size_t bytes, TxMetadata tx_metadata)
    : memory_(bytes - bytes % core::chunk_size),
      arena_(memory_.bytes()),
      socket_(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    if (!socket_) fail("cannot create an AF_XDP socket");
    if (tx_metadata == TxMetadata::never || !register_memory(true)) {
        software_checksums_ = true;
        if (!register_memory(false)) fail("cannot register the UMEM");
    }
    bind_to_loopback();
}

/// False, with errno set, when the kernel refuses; the socket is unchanged then.
bool Umem::register_memory(bool tx_metadata) {
    XdpUmemReg reg{};
    reg.addr = reinterpret_cast<uint64_t>(memory_.bytes().data());
    reg.len = memory_.bytes().size();
    reg.chunk_size = core::chunk_size;
    size_t length = sizeof(reg);
    if (tx_metadata) {
        reg.flags = XDP_UMEM_TX_METADATA_LEN;
        reg.tx_metadata_len = core::tx_metadata_size;
    } else {
        // The form that every kernel takes.
        length = offsetof(XdpUmemReg, tx_metadata_len);
    }
    return setsockopt(socket_.get(), SOL_XDP, XDP_UMEM_REG, &reg, static_cast<socklen_t>(length)) ==
           0;
}

/// Sockets that share the UMEM inherit copy mode, multi-buffer and need-wakeup from this bind. The
/// kernel binds only with a full set of rings; they are never used and as small as possible.
void Umem::bind_to_loopback() {
    const uint32_t entries = 2;
    for (const int option : {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING})
        if (setsockopt(socket_.get(), SOL_XDP, option, &entries, sizeof(entries)) != 0)
            fail("cannot create the rings of the UMEM's socket");
    sockaddr_xdp address{};
    address.sxdp_family = AF_XDP;
    address.sxdp_flags = XDP_COPY | XDP_USE_SG | XDP_USE_NEED_WAKEUP;
    address.sxdp_ifindex = if_nametoindex("lo");
    if (bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        fail("cannot bind the UMEM's socket to lo");
}

}  // namespace pasta::io
