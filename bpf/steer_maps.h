/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What steer.bpf.c and the program that loads it agree on. Plain C, for both compilers. */
#ifndef PASTA_STEER_MAPS_H
#define PASTA_STEER_MAPS_H

/* Entries of the map `xsks`: AF_XDP sockets by receive queue. */
#define STEER_MAX_QUEUES 64

/* Entries of the per-CPU array `counters`, each an unsigned 64-bit count of frames. */
enum steer_counter {
    STEER_REDIRECTED, /* handed to a socket */
    STEER_NO_SOCKET,  /* dropped: no socket for the queue */
    STEER_RUNT,       /* dropped: shorter than an Ethernet header */
    STEER_COUNTERS,
};

#ifdef __cplusplus
#define STEER_ASSERT static_assert
#else
#define STEER_ASSERT _Static_assert
#endif
STEER_ASSERT(sizeof(unsigned long long) == 8, "counters are 64 bits wide on both sides");
STEER_ASSERT(STEER_COUNTERS == 3,
             "struct SteerCounters in control/xdp_attach.hpp has a field each");
STEER_ASSERT((STEER_MAX_QUEUES & (STEER_MAX_QUEUES - 1)) == 0, "queues: a power of two");

#endif
