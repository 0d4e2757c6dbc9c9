# SPDX-License-Identifier: Apache-2.0
"""graph.py - the identity graph as a union-find over rows: who is one person, and which identity stands for them.

The worlds of worlds.py keep clusters far below fifty members, so nobody ever has to go.
"""
CLASSES = {"CRMID": 0, "Email": 0, "ECID": 2}   # person, cookie; a namespace that the org lacks never links
MEMBERS_MAX = 50


def order_of(identity):
    """Identities are ordered by their namespace, in any case of letters, then by their id."""
    return (identity[0].lower().encode(), identity[1].encode())


def links(identity):
    namespace, name = identity[:2]
    if namespace not in CLASSES or name.strip() == "" or name.lower() in ("null", "anonymous", "invalid"):
        return False
    return namespace != "ECID" or (len(name) == 38 and name.isdigit())


class Clusters:
    def __init__(self, rows, datasets):
        self.parent, self.first = {}, {}
        for row in rows:
            own = sorted({identity[:2] for identity in row.identities if links(identity)})
            if len(own) < 2:
                continue
            # An event links at its own time, which is long before any batch of these worlds.
            time = (0, row.value["timestamp"]) if datasets[row.dataset].is_event else (1, row.seq)
            for identity in own:
                self.first[identity] = min(self.first.get(identity, time), time)
                self.parent[self.find(identity)] = self.find(own[0])
        self.sets = {}
        for identity in self.first:
            self.sets.setdefault(self.find(identity), []).append(identity)
        assert all(len(members) <= MEMBERS_MAX for members in self.sets.values()), "the world has a larger cluster"

    def find(self, identity):
        while self.parent.get(identity, identity) != identity:
            identity = self.parent[identity]
        return identity

    def members(self, identity):
        return self.sets.get(self.find(identity), [])

    def anchor(self, identity):
        """The best class, of these the first seen, then the smallest."""
        return min(self.members(identity), default=identity, key=lambda one: (
            CLASSES[one[0]], self.first[one], one[0].encode(), one[1].encode()))
