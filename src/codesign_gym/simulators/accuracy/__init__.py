"""How well a design does: really trained networks, quantized evaluation, sensitivities and surrogates."""
