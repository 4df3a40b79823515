"""Data for training: tables, bundled and generated sets, splitting, minibatches, one-hot labels, scaling."""

from tinygrad_nn.data.bundled import Dataset, Text, load_digits, load_iris, load_sonnets
from tinygrad_nn.data.columns import Column, Columns
from tinygrad_nn.data.encode import Scaler, one_hot
from tinygrad_nn.data.frames import frame_array, frame_like, frame_names, is_frame
from tinygrad_nn.data.generated import Plane, spirals, two_moons
from tinygrad_nn.data.split import DataLoader, Part, Split, data_loader, data_split
from tinygrad_nn.data.table import Table, read_columns, read_features, read_header, read_table

__all__ = [
    "Column",
    "Columns",
    "DataLoader",
    "Dataset",
    "Part",
    "Plane",
    "Scaler",
    "Split",
    "Table",
    "Text",
    "data_loader",
    "data_split",
    "frame_array",
    "frame_like",
    "frame_names",
    "is_frame",
    "load_digits",
    "load_iris",
    "load_sonnets",
    "one_hot",
    "read_columns",
    "read_features",
    "read_header",
    "read_table",
    "spirals",
    "two_moons",
]
