"""Write nn_calls.json: what PyTorch answers to calls of nn and nn.functional, values and gradients, in float64.

Run it with a Python that has PyTorch (2.13 wrote what is here): ``python tests/reference/make_nn_calls.py``.
"""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent

# x is (3, 4), s (5, 2, 4) a sequence, g (2, 4, 4, 5) images, a signal u (2, 4, 7), w and b weights of 4, c classes
# (3,), p and q probabilities (3, 4), z rows of 0 and 1, W (6, 4, 3, 3), V (6, 4, 3), T (4, 2, 3, 3), M (6, 4), k words,
# i signs, m a mask (2, 2) of what may be looked at, l of what may not, a keys' mask (2, 5).
CALLS = """
nn.ReLU()(x)
nn.ReLU(inplace=True)(x + 0)
nn.ReLU6()(4 * x)
nn.LeakyReLU(0.2)(x)
nn.LeakyReLU(negative_slope=0.3)(x)
nn.ELU(alpha=0.5)(x)
nn.SELU()(x)
nn.CELU(2.0)(x)
nn.GELU()(x)
nn.GELU(approximate="tanh")(x)
nn.SiLU()(x)
nn.Mish()(x)
nn.Tanh()(x)
nn.Sigmoid()(x)
nn.LogSigmoid()(x)
nn.Softplus()(x)
nn.Softplus(beta=2.0)(x)
nn.Softsign()(x)
nn.Softmax(dim=1)(x)
nn.Softmax(dim=0)(x)
nn.Softmin(dim=1)(x)
nn.LogSoftmax(dim=-1)(x)
nn.Hardtanh()(x)
nn.Hardtanh(min_val=-0.5, max_val=2.0)(x)
nn.Hardsigmoid()(x)
nn.Hardswish()(x)
nn.Tanhshrink()(x)
nn.Softshrink()(x)
nn.Hardshrink(lambd=0.7)(x)
nn.Threshold(0.2, -1.0)(x)
nn.GLU(dim=0)(s[:4])
nn.PReLU(num_parameters=4, init=0.1)(g)
nn.Flatten()(g)
nn.Flatten(start_dim=1, end_dim=2)(g)
nn.Flatten(0)(g)
nn.Unflatten(1, (2, 2))(g)
nn.Identity(54, unused=True)(x)
nn.L1Loss()(x, q)
nn.L1Loss(reduction="sum")(x, q)
nn.MSELoss()(x, q)
nn.MSELoss(reduction="none")(x, q)
nn.SmoothL1Loss(beta=0.5)(x, q)
nn.HuberLoss(delta=0.8)(x, q)
nn.CrossEntropyLoss()(x, c)
nn.CrossEntropyLoss(weight=w, ignore_index=3, label_smoothing=0.1)(x, c)
nn.CrossEntropyLoss(reduction="sum")(x, p)
nn.CrossEntropyLoss()(g, k.reshape(2, 4, 5) % 4)
nn.CrossEntropyLoss(weight=w)(u, k[:14].reshape(2, 7) % 4)
nn.NLLLoss()(F.log_softmax(x, dim=1), c)
nn.NLLLoss(weight=w, reduction="none")(F.log_softmax(x, dim=1), c)
nn.BCELoss()(p, q)
nn.BCELoss(reduction="none")(p, z)
nn.BCEWithLogitsLoss()(x, z)
nn.BCEWithLogitsLoss(pos_weight=w)(x, z)
nn.KLDivLoss(reduction="batchmean")(F.log_softmax(x, dim=1), p)
nn.PoissonNLLLoss()(x, p)
nn.GaussianNLLLoss()(x, q, p)
nn.CosineEmbeddingLoss(margin=0.1)(x, p, i[:, 0])
nn.TripletMarginLoss(margin=2.0)(x, p, q)
nn.MultiMarginLoss()(x, c)
nn.SoftMarginLoss()(x, i)
nn.MarginRankingLoss(margin=0.5)(x, q, i)
nn.HingeEmbeddingLoss(margin=0.5)(x, i)
F.relu(x + 0, inplace=True)
F.leaky_relu(x, 0.1)
F.elu(x, 0.7)
F.gelu(x)
F.silu(x)
F.softmax(x, dim=0)
F.softmax(x, 1)
F.log_softmax(x, dim=-1)
F.softmin(x, dim=1)
F.softplus(x)
F.hardtanh(x, -0.3, 0.4)
F.logsigmoid(x)
F.hardswish(x)
F.relu6(x)
F.glu(x, dim=1)
F.prelu(g, w)
F.normalize(x)
F.normalize(x, p=1.0, dim=0)
F.linear(x, M)
F.linear(x, M, torch.ones(6, dtype=torch.float64))
F.conv1d(u, V, stride=2, padding=1)
F.conv2d(g, W)
F.conv2d(g, W, torch.ones(6, dtype=torch.float64), stride=(2, 1), padding=1, dilation=1)
F.conv2d(g, W, padding="same")
F.conv2d(g, W[:, :2], groups=2)
F.conv_transpose2d(g, T, stride=2, padding=1, output_padding=1)
F.conv_transpose1d(u, T[:, :, 0])
F.max_pool1d(u, 3)
F.max_pool2d(g, 2)
F.max_pool2d(g, kernel_size=3, stride=2, padding=1)
F.avg_pool2d(g, 2)
F.avg_pool2d(g, 3, stride=1, padding=1, count_include_pad=False)
F.adaptive_avg_pool2d(g, 1)
F.adaptive_avg_pool2d(g, (2, 3))
F.adaptive_max_pool2d(g, 2)
F.layer_norm(x, (4,))
F.layer_norm(x, [4], w, b, 1e-3)
F.layer_norm(g, (4, 5))
F.group_norm(g, 2, w, b)
F.batch_norm(g, None, None, w, b, training=True)
F.batch_norm(x, b.detach(), w.detach())
F.instance_norm(g)
F.rms_norm(x, (4,), w)
F.dropout(x, 0.5, training=False)
F.embedding(c, M)
F.embedding(c, M, padding_idx=2)
F.one_hot(c)
F.one_hot(c, num_classes=6)
F.pad(x, (1, 2))
F.pad(g, (1, 0, 2, 1), value=0.5)
F.pad(g, (1, 1, 2, 2), mode="reflect")
F.pad(u, (1, 2), mode="replicate")
F.scaled_dot_product_attention(s, s, s)
F.scaled_dot_product_attention(s, 2 * s, s, is_causal=True)
F.scaled_dot_product_attention(s, s, s, attn_mask=m)
F.scaled_dot_product_attention(s, s, s, attn_mask=torch.ones(2, 2, dtype=torch.float64), scale=0.3)
F.cosine_similarity(x, p)
F.cosine_similarity(x, p, dim=0)
F.cross_entropy(x, c, label_smoothing=0.2)
F.cross_entropy(u, k[:14].reshape(2, 7) % 4)
F.nll_loss(F.log_softmax(g, dim=1), k.reshape(2, 4, 5) % 4)
F.mse_loss(x, q, reduction="sum")
F.l1_loss(x, q)
F.smooth_l1_loss(x, q, beta=0.3)
F.huber_loss(x, q)
F.binary_cross_entropy(p, q, weight=w)
F.binary_cross_entropy_with_logits(x, z)
F.kl_div(F.log_softmax(x, dim=1), p, reduction="sum")
F.tanh(x)
F.sigmoid(x)
filled(nn.Linear(in_features=4, out_features=3))(x)
filled(nn.Linear(4, 3, bias=False))(x)
filled(nn.Conv2d(in_channels=4, out_channels=6, kernel_size=3, stride=2, padding=1))(g)
filled(nn.Conv2d(4, 4, kernel_size=(1, 3), padding="same", groups=2, bias=False))(g)
filled(nn.Conv1d(in_channels=4, out_channels=2, kernel_size=3, dilation=2))(u)
filled(nn.ConvTranspose2d(in_channels=4, out_channels=2, kernel_size=3, stride=2, output_padding=1))(g)
nn.MaxPool2d(kernel_size=2, stride=1)(g)
nn.AvgPool2d(kernel_size=3, stride=2, padding=1, count_include_pad=False)(g)
nn.AdaptiveAvgPool2d(output_size=(2, 1))(g)
filled(nn.BatchNorm1d(num_features=4, eps=1e-3, momentum=0.2))(x)
filled(nn.BatchNorm2d(4, affine=True).eval())(g)
twice(filled(nn.BatchNorm2d(num_features=4, momentum=0.3)), g)
filled(nn.LayerNorm(normalized_shape=4))(x)
filled(nn.LayerNorm([4, 5], elementwise_affine=False))(g)
filled(nn.GroupNorm(num_groups=2, num_channels=4))(g)
filled(nn.InstanceNorm2d(num_features=4, affine=True))(g)
filled(nn.Embedding(num_embeddings=5, embedding_dim=3, padding_idx=1))(c)
nn.Embedding.from_pretrained(M)(c)
filled(nn.RNN(input_size=4, hidden_size=3, num_layers=2, nonlinearity="relu"))(s)
filled(nn.LSTM(input_size=4, hidden_size=3, batch_first=True))(s)
filled(nn.LSTM(4, 3, 2, True, True, 0.0, True))(s)[0]
filled(nn.GRU(input_size=4, hidden_size=3, bidirectional=True))(s)
filled(nn.RNNCell(input_size=4, hidden_size=3))(x)
filled(nn.RNNCell(4, 3, nonlinearity="relu", bias=False))(x, p[:, :3])
filled(nn.LSTMCell(input_size=4, hidden_size=3))(x)
filled(nn.LSTMCell(4, 3))(x, (p[:, :3], q[:, 1:]))
filled(nn.GRUCell(4, hidden_size=3))(x, p[:, :3])
filled(nn.MultiheadAttention(embed_dim=4, num_heads=2))(s, s, s)
filled(nn.MultiheadAttention(4, 2, batch_first=True))(s, 2 * s, s, key_padding_mask=a[:, :2], need_weights=True)
filled(nn.MultiheadAttention(4, 2, bias=False))(s, s, s, need_weights=False)[0]
filled(nn.MultiheadAttention(4, 2, kdim=4, vdim=4, batch_first=True))(s, s, s, attn_mask=l, average_attn_weights=False)
filled(nn.MultiheadAttention(4, 2))(x, x, x)
filled(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))(x)
filled(nn.TransformerEncoderLayer(d_model=4, nhead=2, dim_feedforward=5, dropout=0.0))(s)
filled(nn.TransformerEncoderLayer(4, 2, 5, 0.0, "gelu", 1e-3, True, True))(s, src_mask=l)
filled(nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 5, dropout=0.0), num_layers=2, norm=nn.LayerNorm(4)))(s)
nn.ZeroPad2d((1, 0, 2, 1))(g)
nn.ReflectionPad2d(1)(g)
nn.ReplicationPad2d((1, 2, 0, 1))(g)
nn.Upsample(scale_factor=2)(g)
F.interpolate(g, scale_factor=(2, 3))
F.interpolate(g, size=(8, 5))
F.interpolate(u, scale_factor=2)
nn.PixelShuffle(2)(g)
F.pixel_shuffle(g[0], upscale_factor=2)
nn.ModuleList([nn.Tanh(), nn.Sigmoid()])[1](x)
nn.ModuleDict({"a": nn.Tanh(), "b": nn.Sigmoid()})["b"](x)
F.elu(x + 0, 0.7, True)
F.celu(x, 0.5, False)
F.silu(x + 0, True)
F.hardswish(input=x, inplace=False)
F.sigmoid(input=x)
F.tanh(input=x)
F.gelu(input=x, approximate="tanh")
F.glu(input=x, dim=1)
F.logsigmoid(input=x)
F.softsign(input=x)
F.hardshrink(input=x, lambd=0.3)
F.softmax(k[:4], 0, 3, torch.float64)
F.log_softmax(x, dim=1, dtype=torch.float64)
F.softmin(x, dim=1, dtype=torch.float64)
F.cosine_embedding_loss(x, p, i[:, 0], 0.2)
F.cosine_embedding_loss(input1=x, input2=p, target=i[:, 0], margin=0.2, reduction="none")
F.cosine_embedding_loss(x, p, i[:, 0], 0.2, None, None, "sum")
F.margin_ranking_loss(x, p, i, 0.3)
F.margin_ranking_loss(x, p, i, 0.3, None, None, "none")
F.triplet_margin_loss(x, p, s[:3, 0], 2.0, 3, 1e-5, True)
F.triplet_margin_loss(x, p, s[:3, 0], 2.0, 2, 1e-6, False, None, None, "none")
F.hinge_embedding_loss(x, i, 0.5)
F.hinge_embedding_loss(x, i, 0.5, None, None, "sum")
F.gaussian_nll_loss(x, q, p, True)
F.gaussian_nll_loss(input=x, target=q, var=p, full=False, eps=0.2, reduction="none")
F.gaussian_nll_loss(x, q, p, False, 0.3, "sum")
F.poisson_nll_loss(p, q, False, True, None, 1e-3)
F.poisson_nll_loss(x, k[:12].reshape(3, 4).double(), True, True, None, 1e-8, None, "sum")
F.multi_margin_loss(x, c, 2, 0.5, w)
F.multi_margin_loss(x, c, 1, 1.0, None, None, None, "none")
F.soft_margin_loss(x, i, None, None, "none")
F.smooth_l1_loss(x, q, None, None, "sum", 0.3)
F.huber_loss(x, q, "none", 0.4)
F.l1_loss(x, q, None, None, "none")
F.mse_loss(x, q, None, None, "sum")
F.kl_div(F.log_softmax(x, dim=1), p, None, None, "sum")
F.kl_div(F.log_softmax(x, dim=1), torch.log(p), None, None, "batchmean", True)
F.cross_entropy(x, c, w, None, 3, None, "sum", 0.1)
F.nll_loss(F.log_softmax(x, dim=1), c, w, None, 3, None, "none")
F.binary_cross_entropy(p, q, w, None, None, "sum")
F.binary_cross_entropy_with_logits(x, z, w, None, None, "none", b + 1)
F.max_pool2d(g, 2, 2, 1, 1, False, False)
F.avg_pool2d(g, 3, 1, 1, False, False, None)
F.embedding(c, M, 2, None, 2.0, False, False)
F.interpolate(g, (8, 5), None, "bilinear", True, None, False)
F.interpolate(u, None, 2.0, "linear", None, False)
F.batch_norm(g, None, None, w, b, True, 0.1, 1e-3)
F.group_norm(g, 2, w, b, 1e-3)
F.instance_norm(g, None, None, w, b, True, 0.1, 1e-3)
F.prelu(input=g, weight=w)
F.threshold(x, 0.1, 9.0, False)
F.hardtanh(x, -0.3, 0.4, False)
F.normalize(x, 3.0, 0, 1e-6)
F.pairwise_distance(x, p, 2.0, 1e-3, True)
F.pad(x, (1, 2), "constant", 0.5)
F.scaled_dot_product_attention(s, s, s, None, 0.0, True, scale=0.5)
F.conv_transpose2d(g, T, None, 2, 1, 1, 1, 1)
F.fold(F.unfold(g, 2, 1, 0, 2), (4, 5), 2, 1, 0, 2)
nn.ReLU(True)(x + 0)
nn.ELU(0.5, True)(x + 0)
nn.Hardtanh(-0.5, 0.5, True)(x + 0)
nn.Threshold(0.1, 2.0, False)(x)
nn.Dropout(0.5, False).eval()(x)
nn.L1Loss(None, None, "sum")(x, q)
nn.MSELoss(None, None, "none")(x, q)
nn.SmoothL1Loss(None, None, "sum", 0.5)(x, q)
nn.HuberLoss("sum", 0.8)(x, q)
nn.CrossEntropyLoss(w, None, 3, None, "sum", 0.1)(x, c)
nn.NLLLoss(w, None, 3, None, "none")(F.log_softmax(x, dim=1), c)
nn.BCELoss(w, None, None, "sum")(p, q)
nn.BCEWithLogitsLoss(w, None, None, "none", b + 1)(x, z)
nn.KLDivLoss(None, None, "batchmean", False)(F.log_softmax(x, dim=1), p)
nn.PoissonNLLLoss(False, True, None, 1e-3, None, "sum")(p, q)
nn.GaussianNLLLoss(full=True, eps=0.3, reduction="none")(x, q, p)
nn.CosineEmbeddingLoss(0.1, None, None, "none")(x, p, i[:, 0])
nn.TripletMarginLoss(2.0, 3, 1e-5, True, None, None, "sum")(x, p, q)
nn.MultiMarginLoss(2, 0.5, w, None, None, "sum")(x, c)
nn.SoftMarginLoss(None, None, "none")(x, i)
nn.MarginRankingLoss(0.5, None, None, "sum")(x, q, i)
nn.HingeEmbeddingLoss(0.5, None, None, "none")(x, i)
nn.MaxPool2d(2, 1, 0, 1, False, False)(g)
nn.AvgPool2d(3, 2, 1, False, False)(g)
nn.AvgPool1d(3, 2, 1, False, False)(u)
nn.AdaptiveMaxPool2d(2, False)(g)
filled(nn.InstanceNorm2d(4, 1e-5, 0.1, True))(g)
nn.InstanceNorm1d(4, 1e-3, 0.1, False, False)(u)
filled(nn.BatchNorm1d(4, 1e-3, 0.2, True, True, None, torch.float64))(x)
filled(nn.LayerNorm(4, 1e-3, True, False, None, torch.float64))(x)
filled(nn.GroupNorm(2, 4, 1e-3, True, None, torch.float64))(g)
filled(nn.Linear(4, 3, True, "cpu", torch.float64))(x)
filled(nn.Conv2d(4, 6, 3, 1, 0, 1, 1, True, "zeros", None, torch.float64))(g)
filled(nn.ConvTranspose2d(4, 2, 3, 2, 1, 1, 1, True, 1, "zeros"))(g)
filled(nn.Embedding(5, 3, 1, None, 2.0, False, False))(c)
filled(nn.RNN(4, 5, 2, "relu", False, True))(s)
filled(nn.RNN(4, 3, 1, "tanh", True, False, 0.0, True))(s)
filled(nn.GRU(4, 3, 1, False, True, 0.0, False, 0, "cpu", torch.float64))(s)
filled(nn.LSTM(4, 3, 1, True, False, 0.0, False, 0))(s)[0]
filled(nn.RNNCell(4, 3, True, "relu", None, torch.float64))(x)
filled(nn.MultiheadAttention(4, 2, 0.0, True, False, False, 4, 4, True))(s, s, s)
filled(nn.TransformerEncoderLayer(4, 2, 5, 0.0, "relu", 1e-5, True, False, True, None, torch.float64))(s)
filled(nn.PReLU(4, 0.1, None, torch.float64))(g)
nn.Upsample((8, 5), None, "bilinear", True, None)(g)
nn.CosineSimilarity(0, 1e-6)(x, p)
nn.PairwiseDistance(3.0, 1e-3, True)(x, p)
nn.init.constant_(torch.empty(2, 3), val=0.3)
nn.init.uniform_(torch.empty(2), 3.0, 3.0)
nn.init.normal_(torch.empty(2), 3.0, 0.0)
nn.init.trunc_normal_(torch.empty(2), 3.0, 1e-9, 2.0, 4.0).round()
nn.utils.rnn.pad_sequence([x[0], x[1, :2]], True, 0.5)
F.max_pool2d(g, 3, stride=2, ceil_mode=True)
F.max_pool1d(u, 2, 3, 1, ceil_mode=True)
F.avg_pool2d(g, 3, 2, 1, True)
F.avg_pool2d(g, 3, 2, 1, True, False)
F.avg_pool2d(g, 2, divisor_override=3)
F.avg_pool1d(u, 3, 2, 1, True)
nn.MaxPool2d(2, ceil_mode=True)(g)
nn.AvgPool2d(3, 2, 0, True, divisor_override=5)(g)
nn.AvgPool1d(2, ceil_mode=True)(u)
filled(nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1))(g, output_size=(8, 9))
filled(nn.ConvTranspose1d(4, 2, 3, stride=3))(u, output_size=[2, 2, 22])
nn.ZeroPad1d(2)(u)
nn.ConstantPad1d((1, 2), 0.5)(u)
nn.ConstantPad2d((1, 0, 2, -1), -2.0)(g)
nn.ConstantPad3d((1, 0, 2, 1, 0, 1), value=3.0)(g)
nn.ZeroPad3d(1)(g)
nn.ReflectionPad1d((2, 1))(u)
nn.ReflectionPad3d(1)(g)
nn.ReplicationPad1d((3, 0))(u)
nn.ReplicationPad3d((1, 0, 2, 1, 0, 1))(g)
nn.CircularPad1d((2, 3))(u)
nn.CircularPad2d(2)(g)
nn.CircularPad3d((1, 0, 2, 1, 0, 1))(g[None])
nn.PixelUnshuffle(2)(g[..., :4])
F.pixel_unshuffle(g[0, :, :, :4], downscale_factor=2)
nn.ChannelShuffle(2)(g)
F.channel_shuffle(u, groups=4)
nn.LocalResponseNorm(2)(g)
F.local_response_norm(u, 3, alpha=0.5, beta=0.6, k=2.0)
F.local_response_norm(g, size=5, alpha=0.1)
nn.Unfold(kernel_size=(2, 3), padding=1, stride=2)(g)
nn.Fold(output_size=(4, 5), kernel_size=2)(nn.Unfold(2)(g))
filled(nn.Bilinear(4, 4, 3))(x, p)
filled(nn.Bilinear(in1_features=4, in2_features=2, out_features=3, bias=False))(x, p[:, :2])
F.bilinear(x, p, T.reshape(2, 4, 9)[:, :, :4], w[:2])
F.ctc_loss(F.log_softmax(s, -1), k[:4].reshape(2, 2) % 3 + 1, [5, 4], [2, 1])
F.ctc_loss(F.log_softmax(s, -1), k[:3] % 3 + 1, [5, 5], [2, 1], reduction="none")
F.ctc_loss(F.log_softmax(s, -1), k[:2] * 0 + 2, [5, 5], [2, 0], 0, "sum")
F.ctc_loss(F.log_softmax(s, -1), k[:8].reshape(2, 4) % 3, [3, 5], [4, 3], blank=3, zero_infinity=True)
F.ctc_loss(F.log_softmax(s[:, 0], -1), k[:2] % 3 + 1, [4], [2])
nn.CTCLoss(blank=1, reduction="sum")(F.log_softmax(s, -1), k[:6].reshape(2, 3) % 2 * 2, [5, 5], [1, 2])
"""


def lines() -> list[str]:
    return CALLS.strip().split("\n")


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    """What the calls speak of; floats have gradients, but for class weights, signs and the like."""
    rng = np.random.default_rng(5)
    soft = np.exp(rng.normal(size=(2, 3, 4)))
    p, q = soft / soft.sum(-1, keepdims=True)
    return {
        "x": rng.normal(size=(3, 4)), "s": rng.normal(size=(5, 2, 4)), "g": rng.normal(size=(2, 4, 4, 5)),
        "u": rng.normal(size=(2, 4, 7)), "p": p, "q": q, "W": rng.normal(size=(6, 4, 3, 3)),
        "V": rng.normal(size=(6, 4, 3)), "T": rng.normal(size=(4, 2, 3, 3)), "M": rng.normal(size=(6, 4)),
        "w": np.array([0.5, 1.0, 2.0, 1.5]), "b": np.array([0.1, -0.2, 0.3, 0.0]), "c": np.array([0, 3, 2]),
        "k": rng.integers(0, 6, size=40), "z": rng.integers(0, 2, size=(3, 4)).astype(float),
        "i": np.array([[1.0, -1, 1, -1], [-1, -1, 1, 1], [1, 1, 1, -1]]), "m": np.array([[True, False], [True, True]]),
        "l": np.array([[False, True], [False, False]]),
        "a": np.array([[False, True], [False, False], [False, True], [False, False], [False, False]]),
    }  # fmt: skip


LEARNED = ("x", "s", "g", "u", "p", "W", "V", "T", "M")


def filled(module: Any) -> Any:
    """Give all parameters of a module numbers that depend on their places alone."""
    for name, parameter in module.state_dict().items():
        if np.asarray(parameter).dtype.kind == "f":
            count = int(np.prod(parameter.shape))
            numbers = np.sin(1.7 * np.arange(count) + len(name)).reshape(tuple(parameter.shape)) / 2
            set_parameter(module, name, abs(numbers) + 0.5 if "running_var" in name else numbers)
    return module


def set_parameter(module: Any, name: str, numbers: Any) -> None:
    if hasattr(module, "float") and type(module).__module__.startswith("torch"):
        import torch

        module.load_state_dict({**module.state_dict(), name: torch.tensor(numbers)})
    else:
        module.load_state_dict({name: numbers}, strict=False)


def twice(module: Any, x: Any) -> Any:
    """Train a norm with a batch, and use what it has learned."""
    module(x)
    return module.eval()(x)


def answer(names: dict[str, Any], tensor: Any, call: str) -> dict[str, Any]:
    """Return what a call gives, as lists, and the gradients of a weighted sum of its entries."""
    given = {name: tensor(array, name in LEARNED) for name, array in arrays().items()}
    out = eval(call, {**names, **given, "filled": filled, "twice": twice})
    parts: list[Any] = []
    stack = [out]
    while stack:
        part = stack.pop(0)
        if isinstance(part, (tuple, list)):
            stack = [*part, *stack]
        else:
            parts.append(part)
    live = [part for part in parts if getattr(part, "requires_grad", False)]
    if live:
        weights = [np.cos(1 + np.arange(int(np.prod(part.shape)))).reshape(tuple(part.shape)) for part in live]
        sum((part * tensor(weight, False)).sum() for part, weight in zip(live, weights, strict=True)).backward()
    gradients = {name: given[name].grad for name in LEARNED if given[name].grad is not None}
    return {
        "values": [np.asarray(part.detach() if hasattr(part, "detach") else part).tolist() for part in parts],
        "gradients": {name: np.asarray(g).tolist() for name, g in gradients.items()},
    }


def main() -> None:
    import torch

    torch.set_default_dtype(torch.float64)
    warnings.simplefilter("ignore")
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}

    def tensor(array: Any, learned: bool) -> Any:
        return torch.tensor(array, requires_grad=learned)

    rows = {call: answer(names, tensor, call) for call in lines()}

    def rounded(x: Any) -> Any:
        return [rounded(y) for y in x] if isinstance(x, list) else float(f"{x:.11g}") if isinstance(x, float) else x

    text = ",\n".join(
        f"{json.dumps(call)}: " + json.dumps({key: {n: rounded(v) for n, v in value.items()} if isinstance(value, dict)
                                              else rounded(value) for key, value in row.items()})
        for call, row in rows.items()
    )  # fmt: skip
    (HERE / "nn_calls.json").write_text("{\n" + text + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
