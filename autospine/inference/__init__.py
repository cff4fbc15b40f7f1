"""Segment scans with trained models: sliding windows, level decoding, masks on the scan's own grid."""
