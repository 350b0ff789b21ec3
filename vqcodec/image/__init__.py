"""Pictures: from Pillow images and files to arrays, and back to files."""
