"""One thread: small matrices, and test machines that do other work."""

import torch

torch.set_num_threads(1)
