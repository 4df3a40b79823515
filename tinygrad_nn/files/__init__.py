"""Files on disk: written completely or not at all, folders locked for one process, arrays as safetensors."""

from .atomic import POLICY, StrPath, check_folder, locked_folder, sync_folder, write_folder, write_whole

__all__ = ["POLICY", "StrPath", "locked_folder", "check_folder", "sync_folder", "write_folder", "write_whole"]
