"""What the tests of the state share."""

import numpy as np

from tests.packets import packet_batch
from worker.light_curve import light_curves
from worker.types.records import TopicPartition

P0, P1 = TopicPartition("in", 0), TopicPartition("in", 1)


def merge(store, *packets, public=None, **next_offsets):
    batch = packet_batch(packets)
    listed = np.ones(len(batch), bool) if public is None else np.array(public)
    offsets = {{"p0": P0, "p1": P1}[name]: at for name, at in next_offsets.items()}
    return light_curves(batch, store.merge(batch, listed, offsets))


def emptied(client, unique):
    """What a server without persistence comes back with; other users' keys stay."""
    keys = client.keys(f"{unique}:*")
    if keys:
        client.delete(*keys)
