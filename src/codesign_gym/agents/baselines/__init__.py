"""Search without learning: what a learner has to beat, and the exact optimum where a problem is a table.

None of them knows what a knob stands for; they see a problem's tables and its measured metrics. None
looks at what is left of its grant or at what an interrupted run had scored: run again with the same
seed it proposes the same designs, and those that are known cost nothing.
"""
