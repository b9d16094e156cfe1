"""Verwerkingsactiviteiten and their versions."""
