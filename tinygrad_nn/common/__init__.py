"""What every other folder may import: names made safe to print, suggestions for unknown names, locks and the like."""
