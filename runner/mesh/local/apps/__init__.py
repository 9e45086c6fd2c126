"""The apps that ship with the embedded mesh, each declared by a file that users can copy."""
