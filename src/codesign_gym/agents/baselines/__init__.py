"""Search without learning: what a learner has to beat, and the exact optimum where a problem is a table.

None of them knows what a knob stands for; they see a problem's tables and its measured metrics. None
looks at what an interrupted run had scored, nor (but annealing, which cools down with it) at what is
left of its grant: run again with the same seed and grant it proposes the same designs, and those that
are known cost nothing.
"""
