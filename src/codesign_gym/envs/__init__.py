"""Design problems, and the Gymnasium environments that walk them."""
