"""Files on disk: written completely or not at all, folders locked for one process, arrays as safetensors."""

from .whole import POLICY, StrPath, alone, check_folder, sync_folder, together, write_whole

__all__ = ["POLICY", "StrPath", "alone", "check_folder", "sync_folder", "together", "write_whole"]
