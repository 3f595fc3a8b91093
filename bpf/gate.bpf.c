// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Lets clients of a listening TCP socket in only while somebody listens on the port that it leads
// to, in another network namespace; others are refused, as they would be there. User space says
// which listener leads where, and which ports are closed; that a port opens is seen here, before
// the program that opened it can tell anyone.
#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>  // needs the types of linux/bpf.h
#include <bpf/bpf_tracing.h>

#include "gate_maps.h"

// include/net/tcp_states.h
#define TCP_CLOSE 7
#define TCP_LISTEN 10

// What is used of the kernel's types; libbpf finds the fields in the running kernel.
struct net {
    __u64 net_cookie;
} __attribute__((preserve_access_index));
typedef struct {
    struct net* net;
} possible_net_t;
struct sock_common {
    unsigned short skc_num;
    possible_net_t skc_net;
} __attribute__((preserve_access_index));
struct sock {
    struct sock_common __sk_common;
} __attribute__((preserve_access_index));

struct gate_slot slots[GATE_SLOTS];

// By the listener's socket cookie, the number of a slot.
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 2 * GATE_SLOTS);
    __type(key, __u64);
    __type(value, __u32);
} listeners SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, GATE_SLOTS);
    __type(key, struct gate_target);
    __type(value, __u32);
} targets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, GATE_NOTES_SIZE);
} notes SEC(".maps");

static __always_inline struct gate_slot* slot_at(const __u32* number) {
    return number && *number < GATE_SLOTS ? &slots[*number] : 0;
}

// Two CPUs may both tell, and a full ring loses a note; whoever is refused next tells again.
static __always_inline void tell(struct gate_slot* slot, const __u32* number) {
    if (slot->told) return;
    slot->told = 1;
    bpf_ringbuf_output(&notes, (void*)number, sizeof(*number), 0);
}

// Runs for each client of a listener it is attached to. A drop here is answered with a reset.
SEC("sk_reuseport")
int gate(struct sk_reuseport_md* ctx) {
    const __u64 cookie = bpf_get_socket_cookie(ctx->sk);
    const __u32* number = bpf_map_lookup_elem(&listeners, &cookie);
    struct gate_slot* slot = slot_at(number);
    if (!slot || slot->listens != slot->closed_at) return SK_PASS;
    __sync_fetch_and_add(&slot->refused, 1);
    tell(slot, number);
    return SK_DROP;
}

// In the context of listen(2), close(2) and what else changes a socket's state. The socket of a new
// connection begins as a copy of the listening one and leaves that state as well, but not to close.
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, const struct sock* sk, int before, int after) {
    if (after != TCP_LISTEN && (before != TCP_LISTEN || after != TCP_CLOSE)) return 0;
    const struct gate_target target = {sk->__sk_common.skc_net.net->net_cookie,
                                       sk->__sk_common.skc_num, 0};
    const __u32* number = bpf_map_lookup_elem(&targets, &target);
    struct gate_slot* slot = slot_at(number);
    if (!slot) return 0;
    if (after == TCP_LISTEN)
        __sync_fetch_and_add(&slot->listens, 1);
    else
        tell(slot, number);
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
