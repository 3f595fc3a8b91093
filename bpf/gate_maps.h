/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What gate.bpf.c and the program that loads it agree on. Plain C, for both compilers. */
#ifndef PASTA_GATE_MAPS_H
#define PASTA_GATE_MAPS_H

#include <linux/types.h>

/* Ports that listeners lead to, at most: a port of one namespace takes one slot, however many
 * listeners lead to it. */
#define GATE_SLOTS 65536

/* A port that listeners lead to; shared memory. It is closed while both counts are equal. */
struct gate_slot {
    __u32 listens;   /* written by the program: TCP sockets that began to listen on the port */
    __u32 closed_at; /* written by user space: what listens was when nobody listened */
    __u32 told;      /* set by the program with each note, cleared by user space when it looks */
    __u32 refused;   /* written by the program: clients refused */
};

/* Key of the map `targets`, whose value is the number of a slot. */
struct gate_target {
    __u64 netns; /* SO_NETNS_COOKIE */
    __u32 port;  /* host byte order */
    __u32 zero;
};

/* Bytes of the ring buffer `notes`, each entry the number of a slot: something that listened there
 * has ended, or a client was refused. */
#define GATE_NOTES_SIZE 65536

#endif
