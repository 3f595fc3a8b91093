// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Hands every frame of a link to the AF_XDP socket of the queue it arrived on. It decides nothing
// else: the kernel has no use for a frame of the private namespace, so what finds no socket is
// dropped and counted.
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_helpers.h>  // needs the types of linux/bpf.h

#include "steer_maps.h"

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, STEER_MAX_QUEUES);
    __type(key, __u32);
    __type(value, __u32);
} xsks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, STEER_COUNTERS);
    __type(key, __u32);
    __type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 counter) {
    __u64* value = bpf_map_lookup_elem(&counters, &counter);
    if (value) ++*value;  // per CPU: no other writer
}

// "frags": without it the kernel caps the link's MTU near one page.
SEC("xdp.frags")
int steer(struct xdp_md* ctx) {
    const void* data = (const void*)(long)ctx->data;
    const void* data_end = (const void*)(long)ctx->data_end;
    if (data + ETH_HLEN > data_end) {
        count(STEER_RUNT);
        return XDP_DROP;
    }
    // The last argument is the verdict when the map has no socket for the queue.
    const long verdict = bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_DROP);
    count(verdict == XDP_REDIRECT ? STEER_REDIRECTED : STEER_NO_SOCKET);
    return verdict;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
