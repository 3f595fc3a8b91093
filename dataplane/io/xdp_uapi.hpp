// AF_XDP constants of kernels up to 6.18 that older kernel headers lack (linux/if_xdp.h). Each is
// guarded, so that newer headers win. Kernel documentation: networking/af_xdp.rst and
// networking/xsk-tx-metadata.rst.
#pragma once

#include <linux/if_xdp.h>
#include <sys/socket.h>

#include <cstdint>

#ifndef SOL_XDP
#define SOL_XDP 283
#endif

/// Bind flag: frames may span several descriptors.
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
/// Descriptor option: the frame continues in the next descriptor.
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif
/// Descriptor option: transmit metadata stands right before the descriptor's address.
#ifndef XDP_TX_METADATA
#define XDP_TX_METADATA (1 << 1)
#endif
/// UMEM registration flag: tx_metadata_len is meant.
#ifndef XDP_UMEM_TX_METADATA_LEN
#define XDP_UMEM_TX_METADATA_LEN (1 << 2)
#endif
/// Metadata flag: csum_start and csum_offset are set.
#ifndef XDP_TXMD_FLAGS_CHECKSUM
#define XDP_TXMD_FLAGS_CHECKSUM (1 << 1)
#endif
/// Socket option: descriptors that one sendto() may send (u32, from 32 to the ring's size).
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

namespace pasta::io {

/// struct xdp_umem_reg with its newest field. The kernel takes the older, shorter form too.
struct XdpUmemReg {
    uint64_t addr;
    uint64_t len;
    uint32_t chunk_size;
    uint32_t headroom;
    uint32_t flags;
    uint32_t tx_metadata_len;
};
static_assert(sizeof(XdpUmemReg) == 32);

/// struct xsk_tx_metadata, request side; the completion side overlays csum and launch time.
struct XskTxMetadata {
    uint64_t flags;
    uint16_t csum_start;
    uint16_t csum_offset;
    uint32_t reserved;
    uint64_t launch_time;
};
static_assert(sizeof(XskTxMetadata) == 24);

}  // namespace pasta::io
