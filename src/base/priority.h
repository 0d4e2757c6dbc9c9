/* SPDX-License-Identifier: Apache-2.0 */
/* priority.h - which threads wait when all want the processor. */
#ifndef TR_BASE_PRIORITY_H
#define TR_BASE_PRIORITY_H

/* Makes the calling thread at least this nice, and lets it take its share in small pieces: else
 * whoever goes first would still wait for a whole slice, which is longer than a few lookups. On
 * Linux both are a thread's own, and threads that it starts inherit them. It cannot be undone. */
void tr_thread_stand_back(int nice);

#endif
