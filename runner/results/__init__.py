"""The run as one versioned document, and the folder that it lives in."""
