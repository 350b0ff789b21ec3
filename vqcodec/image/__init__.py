"""Pictures: from Pillow's images and files to arrays, and back to files."""
