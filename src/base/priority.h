/* SPDX-License-Identifier: Apache-2.0 */
/* priority.h - which threads wait when all want the processor. */
#ifndef TR_BASE_PRIORITY_H
#define TR_BASE_PRIORITY_H

/* Makes the calling thread at least this nice: on Linux niceness is a thread's own, and threads that
 * it starts inherit it. It cannot be undone. */
void tr_thread_stand_back(int nice);

#endif
