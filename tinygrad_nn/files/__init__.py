"""Files on disk: written whole or not at all, locked for one process, arrays as safetensors."""

from .whole import POLICY, StrPath, alone, check_folder, sync_folder, together, write_whole

__all__ = ["POLICY", "StrPath", "alone", "check_folder", "sync_folder", "together", "write_whole"]
